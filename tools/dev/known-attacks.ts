/** An attack that a test beside the code already performs; `npm run attack` runs that test and shows it with the others. */
export interface KnownAttack {
  readonly family: string;
  readonly attack: string;
  readonly tried: string;
  /** What the test asserts. */
  readonly outcome: string;
  readonly code?: string;
  readonly file: string;
  /** Its name as vitest shows it, without those of the describes around it. */
  readonly test: string;
}

type Line = readonly [attack: string, tried: string, outcome: string, code: string, test: string];

function known(family: string, file: string, lines: readonly Line[]): KnownAttack[] {
  return lines.map(([attack, tried, outcome, code, test]) => ({
    family,
    file,
    attack,
    tried,
    outcome,
    test,
    ...(code === "" ? {} : { code }),
  }));
}

const license = "licenses";
const host = "the host's identity";
const usage = "the ledger and the clock";
const files = "libraries and models";
const network = "calls";
const plugins = "the gateway by a plugin";

export const knownAttacks: readonly KnownAttack[] = [
  ...known(license, "src/license/authorize.test.ts", [
    [
      "copies a license to another host",
      "the same hardware, another key",
      "refused",
      "HOST_KEY_MISMATCH",
      "a license copied to another host is refused there, even on a copy of the hardware",
    ],
    [
      "copies the host's key too",
      "the same key, other hardware",
      "refused",
      "FINGERPRINT_MISMATCH",
      "a host key copied to other hardware is refused there, and what differs is named by type only",
    ],
    [
      "edits license.conf",
      "every bit flipped",
      "refused before it is decrypted",
      "CONF_DIGEST_MISMATCH",
      "one changed bit anywhere in license.conf is noticed before it is decrypted",
    ],
    [
      "edits license.lic",
      "every bit flipped",
      "refused",
      "LICENSE_*",
      "one changed bit anywhere in license.lic is noticed",
    ],
    [
      "cuts or extends the files",
      "bytes less, bytes more",
      "refused",
      "LICENSE_*, CONF_*",
      "a license or a configuration cut short or made longer is noticed",
    ],
    [
      "forges a signature",
      "his key under the vendor's certificate",
      "refused",
      "LICENSE_SIGNATURE_INVALID",
      "with a key of his own cannot use the vendor's certificate",
    ],
    [
      "moves a signature",
      "other bytes below it",
      "refused",
      "LICENSE_SIGNATURE_INVALID",
      "cannot move a signature to other bytes",
    ],
    ["leaves the signature away", "no, or an empty one", "refused", "LICENSE_*", "cannot leave the signature away"],
    [
      "signs with a root of his own",
      "the vendor's names, his keys",
      "refused",
      "LICENSE_UNTRUSTED",
      "with a root of his own is not believed, though he uses the vendor's names",
    ],
    [
      "makes issuers with an issuer's key",
      "issuer acting as CA",
      "refused",
      "LICENSE_UNTRUSTED",
      "with an issuer's key cannot make issuers",
    ],
    [
      "replays a request as a license",
      "payload type confusion",
      "refused",
      "LICENSE_*",
      "with the host's key cannot turn a request into a license",
    ],
    [
      "replays a revocation list as a license",
      "payload type confusion",
      "refused",
      "LICENSE_*",
      "cannot pass off a revocation list that the vendor did sign",
    ],
    ["repeats a key", '"graceDays" twice, signed', "refused", "LICENSE_PAYLOAD_INVALID", "a duplicate key"],
    ["adds an unknown key", '"discount", signed', "refused", "LICENSE_PAYLOAD_INVALID", "an unknown field"],
    ["nests 50,000 deep", "[[[[…, signed", "refused", "LICENSE_PAYLOAD_INVALID", "too much depth"],
    [
      "names a library ../../etc/passwd",
      "path traversal, signed",
      "refused",
      "LICENSE_PAYLOAD_INVALID",
      "a file name that is a path",
    ],
    [
      "uses a withdrawn or an older license",
      "revoked; sequence 1 after 2",
      "refused",
      "LICENSE_REVOKED, LICENSE_SUPERSEDED",
      "a revoked license and an old sequence are refused",
    ],
    [
      "gives a license another configuration",
      "license.conf of another license",
      "refused",
      "CONF_DIGEST_MISMATCH",
      "the configuration of another license is refused",
    ],
  ]),
  ...known(license, "src/license/certificates.test.ts", [
    [
      "uses a key whose padding can be forged",
      "RSA, e = 3",
      "refused",
      "LICENSE_UNTRUSTED",
      "an issuer's RSA key with a small exponent, which invites forged padding is refused",
    ],
    [
      "uses a short key",
      "RSA, 2048 bits",
      "refused",
      "LICENSE_UNTRUSTED",
      "an issuer's RSA key with a short modulus is refused",
    ],
    [
      "has a leaf act as a CA",
      "fitting names and signatures",
      "refused",
      "LICENSE_UNTRUSTED",
      "a leaf cannot act as a CA, though the signature and the names fit (bare: true)",
    ],
    [
      "brings a root along",
      "his root in license.lic",
      "refused",
      "LICENSE_UNTRUSTED",
      "a root brought along in the file is not believed",
    ],
    [
      "signs the certificate with SHA-1",
      "a weak digest",
      "refused",
      "LICENSE_UNTRUSTED",
      "a certificate signed with SHA-1 is refused",
    ],
  ]),
  ...known(license, "src/license/envelope.test.ts", [
    ["names an algorithm", '"alg": "none"', "refused", "LICENSE_MALFORMED", "an algorithm field"],
    [
      "signs by HMAC with the public key",
      "algorithm confusion",
      "refused",
      "LICENSE_*",
      "a public key used as an HMAC secret or an unknown key type signs nothing",
    ],
    [
      "makes it huge",
      "beyond 256 KiB",
      "refused unread",
      "LICENSE_TOO_LARGE",
      "a file beyond the size cap is refused before it is looked at",
    ],
    [
      "changes the type of what was signed",
      "another payload type, the same key",
      "refused",
      "",
      "a signature does not carry over to another payload type, even with the same key",
    ],
  ]),
  ...known(license, "src/license/conf.test.ts", [
    [
      "recovers the key of the XOR",
      "known text",
      "gives away nothing beyond itself",
      "",
      "known text gives away nothing beyond itself: the keystream does not repeat within a file",
    ],
    [
      "puts an MD5 twin in the place of license.conf",
      "a published MD5 collision",
      "told apart by SHA-256",
      "",
      "an MD5 collision does not pass: SHA-256 decides",
    ],
    [
      "opens the content key elsewhere",
      "another host's key",
      "refused",
      "CONF_UNDECIPHERABLE",
      "a wrapped key opens neither with another host's key nor for another license or sequence",
    ],
  ]),
  ...known(license, "src/license/revocation.test.ts", [
    [
      "takes the revocation list away",
      "delete it, or put an older one there",
      "refused",
      "REVOCATION_LIST_SUPERSEDED",
      "a list that was honored before must still be there, or a newer one of the same signer",
    ],
    [
      "withdraws with a list of his own",
      "another vendor's, or nobody's",
      "refused",
      "REVOCATION_LIST_INVALID",
      "a list of another vendor, or of nobody, is refused",
    ],
  ]),
  ...known(host, "src/license/machine-systeminformation.test.ts", [
    [
      "lies about the hardware by a program",
      "lsblk, dmidecode … earlier in PATH",
      "neither run nor believed",
      "",
      "a program planted in PATH is neither run nor believed",
    ],
  ]),
  ...known(host, "src/license/host-key.test.ts", [
    [
      "reads a key that is open to others",
      "chmod 644 host.key",
      "refused",
      "HOST_KEY_UNSAFE",
      "a key with mode 420 is refused",
    ],
    [
      "exchanges the key's directory",
      "chmod 777 host/",
      "refused",
      "HOST_KEY_UNSAFE",
      "a directory that others can write is refused",
    ],
    [
      "has the key written over",
      "a link in its place",
      "refused",
      "",
      "a key that is there is never written over, not even through a link",
    ],
  ]),
  ...known(host, "src/service/access.test.ts", [
    ["adds a token of his own", "chmod 666 access.json", "refused", "", "that others may read or write is refused"],
  ]),
  ...known(usage, "src/license/ledger-place.test.ts", [
    ["edits a number", '"r":1 becomes "r":0', "refused", "LEDGER_TAMPERED", "an edited number"],
    ["removes a line", "from the middle", "refused", "LEDGER_TAMPERED", "a removed line"],
    ["reorders lines", "two swapped", "refused", "LEDGER_TAMPERED", "two swapped lines"],
    ["flips bits", "every single one", "refused", "LEDGER_TAMPERED", "every single flipped bit is noticed"],
    ["cuts lines from its end", "the last ones", "refused", "LEDGER_ROLLED_BACK", "when lines are cut from its end"],
    [
      "puts an older copy back",
      "with the anchor beside it",
      "refused",
      "LEDGER_ROLLED_BACK",
      "when an older copy is put in its place, even with the anchor beside it",
    ],
    [
      "continues an older copy",
      "until it is longer",
      "refused",
      "LEDGER_ROLLED_BACK",
      "when an older copy was continued until it is longer",
    ],
    ["begins it again", "from its first line", "refused", "LEDGER_*", "cannot be begun again from its first line"],
    [
      "runs two servers",
      "on one data directory",
      "refused",
      "LEDGER_BUSY",
      "a second server is refused while the first runs, and let in after it",
    ],
    [
      "runs two servers on copies",
      "the directory copied",
      "refused",
      "LEDGER_BUSY",
      "a copy of the directory is refused while the first runs, because the second anchor is shared",
    ],
  ]),
  ...known(usage, "src/service/host-ledger.test.ts", [
    [
      "deletes the ledger with its anchors",
      "rm -r",
      "refused",
      "LEDGER_MISSING",
      "when the ledger is deleted, its outer anchor too: true",
    ],
    [
      "exchanges it for another of the same key",
      "a second ledger",
      "refused",
      "LEDGER_*",
      "when the ledger is another one that the same key began",
    ],
  ]),
  ...known(usage, "src/license/ledger.test.ts", [
    [
      "sets the clock back far",
      "more than a day",
      "refused",
      "CLOCK_SET_BACK",
      "a clock more than a day behind what was seen is refused, less is tolerated",
    ],
    [
      "sets the clock back every night",
      "by hours",
      "time goes on",
      "",
      "setting the clock back every night does not stop time while the machine is up",
    ],
    [
      "restarts the machine to forget the time",
      "set back over a restart",
      "refused",
      "CLOCK_SET_BACK",
      "what was seen is remembered over a restart of the machine",
    ],
    [
      "sets the clock to next year and back",
      "a poisoned high-water mark",
      "nobody is locked out",
      "",
      "a mistyped year that is corrected does not lock the host out",
    ],
    [
      "stops the wall clock during runs",
      "run time by the monotonic clock",
      "charged in full",
      "",
      "run time ignores the wall clock",
    ],
    [
      "uses an older license",
      "after a newer one",
      "refused",
      "LICENSE_SUPERSEDED",
      "an older license is refused after a newer one was used, also after a restart",
    ],
  ]),
  ...known(usage, "test/e2e/shutdown.test.ts", [
    [
      "kills the server to run for free",
      "kill -9 while a job runs",
      "the lease is charged",
      "",
      "leaves no process behind, and the next start charges what was leased and serves",
    ],
    [
      "starts a second server",
      "the same data directory",
      "refused",
      "LEDGER_BUSY",
      "is refused beside another on the same data directory, which goes on",
    ],
    [
      "serves in plaintext to other machines",
      "listen: 0.0.0.0",
      "refused before a port opened",
      "INSECURE_LISTEN",
      "in plaintext for other machines is refused as a wrong configuration",
    ],
  ]),
  ...known(files, "src/plugin/sealed-file.test.ts", [
    [
      "writes into sealed memory",
      "write, truncate, open for writing",
      "refused by the kernel",
      "EPERM",
      "cannot be written, cut, grown or opened for writing",
    ],
    [
      "puts a link in a library's place",
      "a symbolic link",
      "refused",
      "LIBRARY_NOT_REGULAR",
      "a link, even to the right file, is refused",
    ],
    [
      "puts a pipe or a device there",
      "FIFO, directory, device, socket",
      "refused without waiting",
      "LIBRARY_NOT_REGULAR",
      "a pipe without a writer, a directory, a device and a socket are refused without waiting",
    ],
    [
      "puts a huge file there",
      "sparse, 1 TiB",
      "refused unread",
      "LIBRARY_DIGEST_MISMATCH",
      "a huge sparse file is refused by its size, before a byte of it is read",
    ],
    [
      "sets a changed file's times back",
      "one byte, the old mtime",
      "refused",
      "LIBRARY_CHANGED",
      "one changed byte is refused, also when the file's times were set back",
    ],
  ]),
  ...known(files, "src/plugin/loading.test.ts", [
    [
      "exchanges a library after the check",
      "rename",
      "the signed one is loaded",
      "",
      "a file swapped between the check and loading has no effect",
    ],
    [
      "overwrites it after the check",
      "in place",
      "the signed one is loaded",
      "",
      "a file overwritten in place between the check and loading has no effect",
    ],
    [
      "hands an unsealed file to the loader",
      "by descriptor",
      "refused",
      "LIBRARY_UNSEALABLE",
      "a library in an ordinary file is not loaded, even by descriptor",
    ],
    [
      "waits for a descriptor's number to return",
      "fd reuse",
      "each library keeps its own",
      "",
      "SealedFiles gives each library a number of its own, and each is the right one",
    ],
    [
      "puts a dependency before the signed one",
      "LD_LIBRARY_PATH",
      "the signed one is loaded",
      "",
      "come from the bundle, in order, whatever LD_LIBRARY_PATH says",
    ],
    [
      "leaves a dependency to the search path",
      "not in the bundle",
      "refused",
      "LIBRARY_DEPENDENCY_UNCOVERED",
      "one that is not loaded first would come from LD_LIBRARY_PATH, so its absence is refused before loading",
    ],
  ]),
  ...known(files, "src/plugin/dependencies.test.ts", [
    [
      "has a library search where others write",
      "RPATH, RUNPATH",
      "refused",
      "LIBRARY_DEPENDENCY_UNCOVERED",
      "a search path others could write to, or relative to wherever the server was started, is refused",
    ],
  ]),
  ...known(files, "src/plugin/elf.test.ts", [
    [
      "confuses the reader of libraries",
      "bit flips and random changes",
      "read or refused",
      "PLUGIN_INCOMPATIBLE",
      "every single bit flip and thousands of random changes are read or refused, never more",
    ],
    [
      "has another string table for the loader",
      "a second DT_STRTAB",
      "refused",
      "PLUGIN_INCOMPATIBLE",
      "a second string table, which only the loader would use, is refused",
    ],
  ]),
  ...known(network, "test/e2e/access.test.ts", [
    ["calls without a token", "every method", "refused", "UNAUTHENTICATED", "only life and readiness are told"],
    [
      "authenticates in another way",
      "Basic, two tokens, no token",
      "refused",
      "UNAUTHENTICATED",
      "no other form of authorization helps",
    ],
    [
      "uses another service's grant",
      "reader's token at writer",
      "refused",
      "PERMISSION_DENIED",
      "that does not grant a service does not tell whether there is one",
    ],
    [
      "uses a token that was removed",
      "while the server runs",
      "refused",
      "UNAUTHENTICATED",
      "that is removed while the server runs opens nothing any more, and the others go on",
    ],
  ]),
  ...known(network, "test/e2e/hostile-wire.test.ts", [
    [
      "sends more than is taken",
      "a message of 2 MiB, one of 4 GiB announced",
      "refused",
      "RESOURCE_EXHAUSTED",
      "larger than the server takes is RESOURCE_EXHAUSTED, whole or announced",
    ],
    [
      "sends a bomb",
      "256 MiB in less than 1 MiB of gzip",
      "refused, memory stays",
      "RESOURCE_EXHAUSTED",
      "that gzip makes small is measured by what comes out of it",
    ],
    [
      "sends malformed frames",
      "none, half a message, two",
      "refused",
      "",
      "without a message, with half of one or with two is refused",
    ],
    [
      "sends random bytes",
      "a request with bytes flipped, by a seed",
      "answered or refused",
      "",
      "with bytes flipped at random is answered or refused, never INTERNAL",
    ],
    [
      "does not speak HTTP/2",
      "HTTP/1.1",
      "the connection ends",
      "",
      "of a program that does not speak HTTP/2 ends its connection",
    ],
  ]),
  ...known(network, "src/grpc/messages.test.ts", [
    [
      "confuses the decoder",
      "bytes flipped, by a seed",
      "decoded or refused",
      "REQUEST_MALFORMED",
      "made by flipping bytes is decoded or refused, never anything else",
    ],
  ]),
  ...known(plugins, "src/engine/service-runner.test.ts", [
    [
      "crashes",
      "a segmentation fault",
      "its jobs fail, it is restarted",
      "SERVICE_CRASHED",
      "segv(1) fails that job with SERVICE_CRASHED, and the next one succeeds",
    ],
    [
      "never returns",
      "an endless loop",
      "ended at the licensed time",
      "JOB_TIME_EXCEEDED",
      "an endless loop is ended at the job's run limit, and the next job succeeds",
    ],
    [
      "grows without end",
      "memory beyond its limit",
      "ended and restarted",
      "SERVICE_OUT_OF_MEMORY",
      "growth beyond the memory limit ends the process, and the next job succeeds",
    ],
    [
      "claims a larger output than it has room",
      "a size beyond the slot",
      "ended and restarted",
      "SERVICE_PROTOCOL",
      "lie-size(1) fails that job with SERVICE_PROTOCOL, and the next one succeeds",
    ],
    [
      "claims another shape",
      "more elements than bytes",
      "ended and restarted",
      "SERVICE_PROTOCOL",
      "lie-shape(1) fails that job with SERVICE_PROTOCOL, and the next one succeeds",
    ],
    [
      "writes nonsense to its channel",
      "no JSON",
      "ended and restarted",
      "SERVICE_PROTOCOL",
      "say-noise(1) fails that job with SERVICE_PROTOCOL, and the next one succeeds",
    ],
    [
      "speaks as Node would",
      "Node's internal messages",
      "ended and restarted",
      "SERVICE_PROTOCOL",
      "say-node(1) fails that job with SERVICE_PROTOCOL, and the next one succeeds",
    ],
    [
      "writes a line that never ends",
      "100 MiB",
      "ended and restarted",
      "SERVICE_PROTOCOL",
      "say-endless(100) fails that job with SERVICE_PROTOCOL, and the next one succeeds",
    ],
    [
      "takes the shared memory away",
      "ftruncate()",
      "refused by the kernel",
      "",
      "it cannot take away the memory that the gateway shares with it",
    ],
  ]),
  ...known(plugins, "src/engine/output.test.ts", [
    [
      "answers anything at all",
      "random answers, by a seed",
      "tensors that fit, or refused",
      "SERVICE_PROTOCOL",
      "of whatever kind is a SignetError or tensors that fit their specs and the slot",
    ],
  ]),
  ...known(plugins, "src/engine/environment.test.ts", [
    [
      "reads secrets of the environment",
      "/proc/PID/environ of a service host",
      "only the allow-list is there",
      "",
      "a service host sees the allow-list and nothing of the gateway's environment",
    ],
  ]),
];
