import { ENTITLEMENTS_KEY, type ServiceConf } from "./schema.ts";

/**
 * What a plugin's create() gets as its configuration: the vendor's own, and what is licensed under one more key. The
 * key is left out where nothing is, so that a plugin that knows no entitlements refuses none.
 */
export function pluginConfigOf({ config, entitlements }: Pick<ServiceConf, "config" | "entitlements">) {
  return Object.keys(entitlements).length === 0 ? config : { ...config, [ENTITLEMENTS_KEY]: entitlements };
}
