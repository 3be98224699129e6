import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createProxy, type Socket } from "node:net";
import { pipeline } from "node:stream";
import { inspect } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { type ObjectStore, seaweedfsProgram, startSeaweedfs } from "../../test/helpers/seaweedfs.ts";
import { Secret } from "../telemetry/index.ts";
import {
  artifactStoreConformance,
  bytesOf,
  digestOf,
  inPieces,
  listed,
  readAll,
  type StoreUnderTest,
} from "./artifact-store.conformance.ts";
import { openArtifactStore } from "./open-artifact-store.ts";
import { S3Bucket } from "./s3-bucket.ts";
import { S3Store } from "./s3-store.ts";

const BUCKET = "signet-tests";
const REGION = "us-east-1";
const MIB = 2 ** 20;
const NO_LIMIT = 2 ** 40;
const UNAVAILABLE = "STORE_UNAVAILABLE";

const found = await seaweedfsProgram();
const reason = "missing" in found ? ` (skipped, there is no ${found.missing})` : "";

describe.skipIf("missing" in found)(`in SeaweedFS${reason}`, () => {
  let server: ObjectStore;

  beforeAll(async () => {
    if ("missing" in found) return;
    server = await startSeaweedfs(found.program);
    const { endpoint, ...credentials } = server;
    const client = new S3Client({ endpoint, region: REGION, credentials, forcePathStyle: true });
    // It answers a little earlier than it can keep anything.
    const eventually = { timeout: 60_000, interval: 100 };
    await vi.waitFor(() => client.send(new CreateBucketCommand({ Bucket: BUCKET })), eventually);
    await vi.waitFor(() => useBucket().putObject("first", Buffer.from("x")), eventually);
    client.destroy();
  });

  function settings(prefix = `${randomUUID()}/`) {
    return { endpoint: server.endpoint, bucket: BUCKET, region: REGION, prefix };
  }

  function environment() {
    return { AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey };
  }

  function useBucket(): S3Bucket {
    const { accessKeyId, secretAccessKey } = server;
    return new S3Bucket(settings(), { accessKeyId, secretAccessKey: new Secret(secretAccessKey), sessionToken: null });
  }

  async function useStore(): Promise<StoreUnderTest & { readonly prefix: string }> {
    const prefix = `${randomUUID()}/`;
    const bucket = useBucket();
    return {
      prefix,
      store: await S3Store.open(bucket, prefix, "here"),
      damage: async (sha256, bytes) => await bucket.putObject(keyOf(prefix, sha256), bytes),
      leftovers: async () => await leftovers(bucket, prefix),
    };
  }

  artifactStoreConformance(useStore);

  test("what comes is seen under its name when all of it has come, not before", async () => {
    for (const isPromised of [true, false]) {
      const { store, leftovers } = await useStore();
      const content = bytesOf(20 * MIB, `seen late ${isPromised}`);
      const sha256 = digestOf(content);
      const source = async function* () {
        for await (const piece of inPieces(content, 10 * MIB)) {
          yield piece;
          expect(await store.find(sha256)).toBeUndefined();
          expect(await listed(store)).toEqual([]);
          // One part is on its way.
          expect(await leftovers()).toHaveLength(1);
        }
      };
      await store.put(source(), content.length, { sha256: isPromised ? sha256 : null, bytes: null });
      expect(await listed(store)).toMatchObject([{ sha256 }]);
      expect(await leftovers()).toEqual([]);
    }
  });

  test("what servers that were killed left half is removed, and what others are at is not", async () => {
    const { store, prefix, leftovers } = await useStore();
    const bucket = useBucket();
    const { sha256 } = await store.put(inPieces(Buffer.from("kept")), 10);
    await bucket.putObject(`${prefix}notes.txt`, Buffer.from("of others"));
    const digest = digestOf(Buffer.from("half"));
    for (const key of [keyOf(prefix, digest), `${prefix}incoming/half`, `${prefix}of-others`]) {
      await bucket.uploadPart(key, await bucket.beginUpload(key), 1, Buffer.alloc(5 * MIB));
    }
    await bucket.putObject(`${prefix}incoming/whole`, Buffer.from("not yet copied"));
    expect(await leftovers()).toHaveLength(5);

    await S3Store.open(bucket, prefix, "here");
    expect(await leftovers()).toHaveLength(5);
    await S3Store.open(bucket, prefix, "here", -60_000);
    expect(await leftovers()).toEqual([`${prefix}notes.txt`, `upload of ${prefix}of-others`]);
    expect(await listed(store)).toMatchObject([{ sha256 }]);
  });

  test("a bucket is used as the configuration says, whatever the environment says of it", async () => {
    const elsewhere = "http://127.0.0.1:1";
    for (const name of ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]) vi.stubEnv(name, elsewhere);
    for (const name of ["AWS_REGION", "AWS_PROFILE", "AWS_MAX_ATTEMPTS"]) vi.stubEnv(name, "nowhere");
    vi.stubEnv("AWS_CONFIG_FILE", "/proc/self/mem");
    onTestFinished(() => void vi.unstubAllEnvs());
    const place = settings();
    const store = await openArtifactStore({ s3: place }, "/nowhere", environment());
    const { sha256 } = await store.put(inPieces(Buffer.from("abc")), 3);
    expect((await useBucket().headObject(keyOf(place.prefix, sha256))).bytes).toBe(3);
    expect((await readAll(store, sha256)).toString()).toBe("abc");
  });

  test("what goes in or out when the store goes away fails, and it may be put again when it is back", async () => {
    const proxy = await useProxy(new URL(server.endpoint));
    const place = { ...settings(), endpoint: proxy.endpoint };
    const store = await openArtifactStore({ s3: place }, "/nowhere", environment());
    const content = bytesOf(20 * MIB, "on its way");
    const cutAfter = async function* (pieces: AsyncIterable<Uint8Array>, bytes: number) {
      for await (const piece of pieces) {
        yield piece;
        bytes -= piece.length;
        if (bytes < 0) proxy.cut();
      }
    };
    expect(await codeOfAsync(() => store.put(cutAfter(inPieces(content), 10 * MIB), NO_LIMIT))).toBe(UNAVAILABLE);
    expect(await codeOfAsync(() => store.find(digestOf(content)))).toBe(UNAVAILABLE);
    expect(await codeOfAsync(() => listed(store))).toBe(UNAVAILABLE);
    expect(await codeOfAsync(() => store.read(digestOf(content)))).toBe(UNAVAILABLE);
    expect(await codeOfAsync(() => store.remove(digestOf(content)))).toBe(UNAVAILABLE);

    proxy.mend();
    expect(await listed(store)).toEqual([]);
    const { sha256 } = await store.put(inPieces(content), NO_LIMIT);
    const reading = async () => {
      for await (const _ of cutAfter(await store.read(sha256), 0));
    };
    expect(await codeOfAsync(reading)).toBe(UNAVAILABLE);
  });

  test("more than a page of artifacts is listed whole", async () => {
    const { store } = await useStore();
    const names = Array.from({ length: 1100 }, (_, at) => `artifact ${at}`);
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(names.slice(at, at + 50).map((name) => store.put(inPieces(Buffer.from(name)), 100)));
    }
    const digests = (await listed(store)).map(({ sha256 }) => sha256);
    expect(digests.sort()).toEqual(names.map((name) => digestOf(Buffer.from(name))).sort());
  });

  describe("says in words that", () => {
    const open = (change: object, env: object = {}) =>
      openArtifactStore({ s3: { ...settings(), ...change } }, "/nowhere", { ...environment(), ...env });

    test.each([
      ["there is no such bucket", { bucket: "not-there" }, {}, /not-there: has no such bucket/],
      ["nobody listens", { endpoint: "http://127.0.0.1:1" }, {}, /takes no connections/],
      ["nobody knows the host", { endpoint: "http://nowhere.invalid" }, {}, /has a name that is not known/],
      ["the secret is wrong", {}, { AWS_SECRET_ACCESS_KEY: "wrong" }, /refuses these credentials/],
      ["the key is unknown", {}, { AWS_ACCESS_KEY_ID: "UNKNOWN" }, /refuses these credentials/],
    ])("%s", async (_, change, env, message) => {
      await expect(open(change, env)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", message });
    });

    test("it is no S3", async () => {
      const web = createServer((_, answer) => answer.end("<html>Welcome</html>")).listen(0, "127.0.0.1");
      await once(web, "listening");
      onTestFinished(() => void web.close());
      const { port } = web.address() as { port: number };
      expect(await codeOfAsync(() => open({ endpoint: `http://127.0.0.1:${port}` }))).toBe("STORE_UNAVAILABLE");
    });

    test.each(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])("%s is missing", async (name) => {
      const message = expect.stringContaining(name);
      await expect(open({}, { [name]: undefined })).rejects.toMatchObject({ code: "CONFIG_INVALID", message });
      await expect(open({}, { [name]: "" })).rejects.toMatchObject({ code: "CONFIG_INVALID", message });
    });

    test("a secret is not in any of it", async () => {
      const env = { AWS_SECRET_ACCESS_KEY: "hunter2", AWS_SESSION_TOKEN: "hunter3" };
      const error = await open({}, env).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "STORE_UNAVAILABLE" });
      expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/hunter[23]/);
    });
  });
});

function keyOf(prefix: string, sha256: string): string {
  return `${prefix}${sha256.slice(0, 2)}/${sha256}`;
}

/** A way to the store that can be cut. */
async function useProxy({ hostname, port }: URL) {
  const sockets = new Set<Socket>();
  let isCut = false;
  const proxy = createProxy((client) => {
    if (isCut) return client.destroy();
    const onward = connect(Number(port), hostname);
    for (const socket of [client, onward]) sockets.add(socket.on("error", () => undefined));
    return void pipeline(client, onward, client, () => undefined);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    cut();
    proxy.close();
  });
  const mend = () => {
    isCut = false;
  };
  return { endpoint: `http://127.0.0.1:${(proxy.address() as { port: number }).port}`, cut, mend };
}

/** Objects that are no artifacts, and uploads that are not complete. */
async function leftovers(bucket: S3Bucket, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of bucket.listObjects(prefix)) {
    if (key !== keyOf(prefix, key.slice(-64))) found.push(key);
  }
  for await (const { key } of bucket.listUploads(prefix)) found.push(`upload of ${key}`);
  return found;
}
