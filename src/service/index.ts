export { type Access, type AccessOptions, type Action, type Identity, openAccess } from "./access.ts";
export { addToken, type Role, readTokens, removeToken, roles, type TokenRecord } from "./access-file.ts";
