/** The canonical gRPC status names Signet answers with. HTTP statuses and exit codes derive from these. */
export type GrpcStatus =
  | "CANCELLED"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "UNAUTHENTICATED";

/** 1 failed, 2 usage or configuration, 3 refused by license or verification. */
export type ExitCode = 1 | 2 | 3;

interface CatalogueEntry {
  readonly status: GrpcStatus;
  readonly exit: ExitCode;
  /** One sentence: what happened. */
  readonly meaning: string;
  /** One sentence: what the reader can do about it. */
  readonly next: string;
}

const refused = { status: "FAILED_PRECONDITION", exit: 3 } as const;
const usage = { status: "INVALID_ARGUMENT", exit: 2 } as const;

/** Every failure Signet can report. Codes are stable: they may be added, never renamed or reused. */
export const errorCatalogue = {
  // Usage, configuration and files
  USAGE: {
    ...usage,
    meaning: "A command was called with wrong words.",
    next: "The --help of the command shows how it is called.",
  },
  CONFIG_INVALID: {
    ...usage,
    meaning: "The configuration has an unknown key or a wrong value.",
    next: "Correct the key the message names; docs/reference/config.md lists them all.",
  },
  FILE_UNREADABLE: {
    ...usage,
    meaning: "A file or directory could not be read or written.",
    next: "Check the path and its permissions.",
  },
  ACCESS_FILE_INVALID: {
    ...usage,
    meaning: "The file of access tokens is damaged, or not for its owner alone.",
    next: "Put right what the message names, restore the file from a backup, or move it away and make new tokens with `signet access add`.",
  },
  FILE_EXISTS: {
    ...usage,
    meaning: "A file that must not be overwritten is already there.",
    next: "Choose another path, or move the old file away yourself.",
  },
  ENVIRONMENT_UNSAFE: {
    ...usage,
    meaning: "The server was started in a way that brings other code into it.",
    next: "Start it with bin/signet, without the variable or option that the message names.",
  },
  ADDRESS_IN_USE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The address to listen on is taken.",
    next: "Stop the other program or choose another address with --listen.",
  },
  ADDRESS_UNUSABLE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The address to listen on cannot be used on this machine.",
    next: "Choose another address with listen in the configuration, or with --listen.",
  },
  INSECURE_LISTEN: {
    ...usage,
    meaning: "Plaintext was asked for on an address that other machines can reach.",
    next: "Configure tls, listen on a loopback address, or set insecure: true if a proxy in front does TLS.",
  },
  UNREACHABLE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The server could not be reached.",
    next: "Check that `signet serve` runs and that --server names its address.",
  },

  // The host
  HOST_KEY_MISSING: {
    ...refused,
    meaning: "This host has no key yet.",
    next: "Run `signet host request` and send the request to your vendor, or name the data directory you meant with --data or SIGNET_DATA.",
  },
  HOST_KEY_LOST: {
    ...refused,
    meaning: "This host's key is gone, but the usage ledger that belongs to it is there.",
    next: "Restore host.key from the backup; if it is lost for good, move host/ and ledger/ out of the data directory, run `signet host request` and ask your vendor for a new license.",
  },
  HOST_KEY_UNSAFE: {
    ...refused,
    meaning: "The host's private key can be read by other users.",
    next: "Run chmod 600 on the file; if others may have read it, make a new key and ask for a new license.",
  },
  HOST_KEY_INVALID: { ...refused, meaning: "The host's key file is damaged.", next: "Restore it from a backup." },
  REQUEST_INVALID: {
    ...refused,
    meaning: "A host request is damaged, or not signed by the host key inside it.",
    next: "Make it again on the host with `signet host request`.",
  },
  HOST_WEAK: {
    ...refused,
    meaning: "The host shows too little of its hardware to be told apart from a copy.",
    next: "Issue with --accept-weak if the host key alone is enough for you.",
  },
  TRUST_ROOT_MISSING: {
    ...refused,
    meaning: "No vendor root certificate is pinned on this host.",
    next: "Get root.pem from your vendor by a channel you trust and run `signet trust add root.pem`.",
  },
  TRUST_ROOT_INVALID: {
    ...refused,
    meaning: "A file is not a usable vendor root certificate.",
    next: "Ask your vendor for root.pem; it is a self-signed CA certificate.",
  },

  // First authorization, in the order of its steps
  LICENSE_MISSING: {
    ...refused,
    meaning: "No license is installed.",
    next: "Run `signet license install BUNDLE`, where the bundle is what your vendor sends for a `signet host request`; or name the data directory you meant with --data or SIGNET_DATA.",
  },
  LICENSE_TOO_LARGE: {
    ...refused,
    meaning: "A license file is larger than any license can be.",
    next: "Check that it is the file your vendor sent.",
  },
  LICENSE_MALFORMED: {
    ...refused,
    meaning: "license.lic is not a DSSE envelope in PEM.",
    next: "Copy it again from the vendor's bundle, in binary mode.",
  },
  LICENSE_UNTRUSTED: {
    ...refused,
    meaning: "The certificate that signed the license does not chain to a pinned vendor root.",
    next: "Compare `signet-license inspect license.lic` with `signet trust list`; pin the right root if it is your vendor's.",
  },
  LICENSE_SIGNATURE_INVALID: {
    ...refused,
    meaning: "The license was changed after it was signed.",
    next: "Copy it again from the vendor's bundle.",
  },
  LICENSE_PAYLOAD_INVALID: {
    ...refused,
    meaning: "The signed license has an unknown, missing or duplicate field.",
    next: "Ask your vendor which Signet version it was issued for.",
  },
  LICENSE_WRONG_PRODUCT: {
    ...refused,
    meaning: "The license is for another product.",
    next: "Install the license your vendor issued for this server.",
  },
  REVOCATION_LIST_INVALID: {
    ...refused,
    meaning: "A revocation list is damaged, or not signed by a pinned vendor.",
    next: "Copy it again from your vendor.",
  },
  REVOCATION_LIST_SUPERSEDED: {
    ...refused,
    meaning: "A newer revocation list than those installed was already used on this host.",
    next: "Install the newest list your vendor sent with `signet trust revocations add FILE`.",
  },
  LICENSE_REVOKED: {
    ...refused,
    meaning: "The vendor has withdrawn this license.",
    next: "Ask your vendor for a new one.",
  },
  LICENSE_SUPERSEDED: {
    ...refused,
    meaning: "A newer license has already been used on this host.",
    next: "Install the newest license your vendor sent.",
  },
  LICENSE_DEACTIVATED: {
    ...refused,
    meaning: "The license was given back on this host and is not accepted here again.",
    next: "Ask your vendor for a new license.",
  },
  LICENSE_NOT_YET_VALID: {
    ...refused,
    status: "PERMISSION_DENIED",
    meaning: "The license or service starts later.",
    next: "Wait, or check the host's clock.",
  },
  LICENSE_EXPIRED: {
    ...refused,
    status: "PERMISSION_DENIED",
    meaning: "The license or service has expired.",
    next: "Send a fresh `signet host request` to your vendor to renew.",
  },
  CLOCK_SET_BACK: {
    ...refused,
    meaning: "The host's clock is far behind the last time this server saw.",
    next: 'Set the clock right: a running server then goes on by itself, another is started again. If the clock is right, it was far ahead before; docs/guides/operate.md says under "When the clock was wrong" what to do.',
  },
  HOST_KEY_MISMATCH: {
    ...refused,
    meaning: "The license was issued for another host key.",
    next: "Send this host's own `signet host request` to your vendor.",
  },
  FINGERPRINT_MISMATCH: {
    ...refused,
    meaning: "Too much of this machine's hardware differs from what the license names.",
    next: "If hardware was replaced, send a fresh `signet host request` to your vendor.",
  },
  CONF_MISSING: {
    ...refused,
    meaning: "license.conf is not beside license.lic.",
    next: "Install the whole bundle again.",
  },
  CONF_DIGEST_MISMATCH: {
    ...refused,
    meaning: "license.conf is not the file that the license was signed for.",
    next: "Install the whole bundle again.",
  },
  CONF_UNDECIPHERABLE: {
    ...refused,
    meaning: "license.conf could not be decrypted with this host's key.",
    next: "The license is for another host; send this host's request to your vendor.",
  },
  CONF_INVALID: {
    ...refused,
    meaning: "The decrypted license.conf has an unknown, missing or duplicate field.",
    next: "Ask your vendor which Signet version it was issued for.",
  },
  CONF_CONTRADICTS_LICENSE: {
    ...refused,
    meaning: "license.conf and license.lic disagree.",
    next: "Ask your vendor to issue the license again.",
  },
  LEDGER_MISSING: {
    ...refused,
    meaning: "The usage ledger of this host is gone.",
    next: "Restore ledger/ as it was last; if it is lost for good, move host/ and ledger/ out of the data directory, run `signet host request` and ask your vendor for a new license.",
  },
  LEDGER_TAMPERED: {
    ...refused,
    meaning: "A record of the usage ledger was changed, removed or reordered.",
    next: "Restore the ledger from before the change, or speak to your vendor.",
  },
  LEDGER_ROLLED_BACK: {
    ...refused,
    meaning: "The usage ledger is older than the last state this host recorded.",
    next: "Restore the newest ledger, or speak to your vendor.",
  },
  LEDGER_BUSY: {
    ...refused,
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "Another server is using this ledger.",
    next: "Stop the other `signet serve` first; one host has one server.",
  },
  LEDGER_UNWRITABLE: {
    ...refused,
    status: "UNAVAILABLE",
    meaning: "The usage ledger cannot be written, so no run can be charged.",
    next: "Free disk space or repair the data directory's permissions.",
  },
  AUDIT_MISSING: {
    ...refused,
    meaning: "This host has no audit log.",
    next: "One begins with the first command or server after `signet host request`; if there was one, find out who removed it.",
  },
  AUDIT_TAMPERED: {
    ...refused,
    meaning: "The audit log is not as it was written: a record was changed, removed, added or moved.",
    next: "Find out who changed it, and compare it with a copy; the server goes on recording behind the damage.",
  },
  AUDIT_UNWRITABLE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The audit log cannot be written.",
    next: "Free disk space or repair the data directory's permissions; what was done is done, and not recorded.",
  },
  LIBRARY_MISSING: {
    ...refused,
    meaning: "A file the license names is not in the bundle.",
    next: "Install the whole bundle again.",
  },
  LIBRARY_NOT_REGULAR: {
    ...refused,
    meaning: "A file the license names is a link, a device or a pipe.",
    next: "Install the bundle again with `signet license install`.",
  },
  LIBRARY_DIGEST_MISMATCH: {
    ...refused,
    meaning: "A library or model file is not the one the vendor signed.",
    next: "Install the bundle again; if it happens again, find out who changes it.",
  },
  LIBRARY_CHANGED: {
    ...refused,
    meaning: "A library or model file was changed while its service was running; the service is stopped.",
    next: "Install the bundle again; find out who changed the file.",
  },
  LIBRARY_DEPENDENCY_UNCOVERED: {
    ...refused,
    meaning: "A library needs another library that is neither in the bundle nor part of the system base.",
    next: "The vendor must list it under dependencies.",
  },
  LIBRARY_UNSEALABLE: {
    ...refused,
    meaning: "A sealed copy of a file could not be made in memory.",
    next: "Linux 3.17 or newer, with /proc mounted and enough free memory, is needed.",
  },

  // Plugins and service hosts
  PLUGIN_INCOMPATIBLE: {
    ...refused,
    meaning: "A library does not offer the plugin ABI this server speaks.",
    next: "Build it against native/include/signet/plugin.h of this version.",
  },
  PLUGIN_FAILED: {
    status: "INTERNAL",
    exit: 1,
    meaning: "The plugin reported an error.",
    next: "The plugin's own words precede; ask its vendor.",
  },
  SERVICE_START_FAILED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "A service's plugin could not be started.",
    next: "The reason precedes, mostly in the plugin's own words; ask its vendor.",
  },
  WARM_UP_FAILED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "A service's warm-up could not be run, or failed in the plugin, and the service is not ready.",
    next: "The message names the request of `warmup` and the reason; mend it, or ask the plugin's vendor. It is tried again.",
  },
  SANDBOX_UNAVAILABLE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The sandbox around a service's plugin could not be set up, so the plugin was not started.",
    next: "Run it where seccomp is allowed; for sandbox: bwrap, install bubblewrap where user name spaces are allowed, or choose another sandbox for the service. sandbox: none is for a vendor you trust.",
  },
  SERVICE_CRASHED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service's process ended during the call; it is being restarted.",
    next: "Try again; if it repeats with the same input, report the input to the vendor.",
  },
  SERVICE_UNRESPONSIVE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service's process stopped answering and was restarted.",
    next: "Try again; if it repeats with the same input, report the input to the vendor.",
  },
  SERVICE_OUT_OF_MEMORY: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The service's process grew beyond its memory limit and was restarted.",
    next: "Send a smaller input, or raise memoryLimitMiB for the service.",
  },
  SERVICE_PROTOCOL: {
    status: "INTERNAL",
    exit: 1,
    meaning: "The service's process sent something that makes no sense and was restarted.",
    next: "Report it to the plugin's vendor.",
  },
  OUTPUT_TOO_LARGE: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The output does not fit into the service's shared memory.",
    next: "Raise slotMiB for the service.",
  },

  // Calls
  SERVICE_NOT_FOUND: {
    status: "NOT_FOUND",
    exit: 1,
    meaning: "No service of that name or version is licensed here.",
    next: "`signet license status` lists the services.",
  },
  ORIGIN_NOT_ALLOWED: {
    status: "PERMISSION_DENIED",
    exit: 1,
    meaning: "A page of another site called, and the configuration does not list where it comes from.",
    next: "The server's operator can add the page's origin to `http.origins`.",
  },
  ROUTE_NOT_FOUND: {
    status: "NOT_FOUND",
    exit: 1,
    meaning: "The REST interface has no call of that method and path.",
    next: "docs/reference/rest.md lists the calls, and GET /openapi.json has them for programs.",
  },
  SERVICE_NOT_READY: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service is starting, restarting or stopped.",
    next: "Try again shortly; if it stays so, the server's log says why.",
  },
  SERVICE_UNPLACED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service waits for room on a device of the host that others hold.",
    next: "It starts as soon as there is room: unload a service that the message names, or declare less in needs.",
  },
  SERVICE_UNLOADED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service is licensed, but an operator has unloaded it.",
    next: "An operator can load it again with RepositoryModelLoad; a restart of the server does so too.",
  },
  SERVICE_QUARANTINED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The service's process ended so often in a row that it is not started again by itself.",
    next: "`signet status` and `signet logs --service NAME` show why; `signet service release NAME` or RepositoryModelLoad starts it again.",
  },
  NOT_IN_LICENSE: {
    ...refused,
    meaning: "Somebody other than the vendor wanted to say what a service is made of.",
    next: "Only what the license names is loaded, as it is; ask your vendor for another license.",
  },
  REQUEST_MALFORMED: {
    status: "INVALID_ARGUMENT",
    exit: 1,
    meaning: "The request does not fit the service's tensors.",
    next: "ModelMetadata gives names, datatypes and shapes.",
  },
  REQUEST_TOO_LARGE: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The request is larger than the server accepts.",
    next: "Send less at a time, or raise slotMiB and maxMessageMiB.",
  },
  SERVER_OVERLOADED: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The server holds as many requests as it has memory for.",
    next: "Try again shortly, or send fewer large requests at a time.",
  },
  SHARED_MEMORY_OFF: {
    status: "FAILED_PRECONDITION",
    exit: 1,
    meaning: "A client wants to use shared memory, and the configuration does not allow it.",
    next: "Send tensors in messages, or set sharedMemory: true where every client on this machine is trusted with it.",
  },
  SHARED_MEMORY_INVALID: {
    status: "INVALID_ARGUMENT",
    exit: 1,
    meaning: "Shared memory cannot be used as the client asks: it is not there, not its own, or too small.",
    next: "Create it as the user that calls, let the server open it, and register no more than there is.",
  },
  SHARED_MEMORY_NOT_FOUND: {
    status: "NOT_FOUND",
    exit: 1,
    meaning: "The caller has registered no shared memory of that name.",
    next: "Register it with the same token first; regions are gone after a restart of the server.",
  },
  SHARED_MEMORY_EXISTS: {
    status: "ALREADY_EXISTS",
    exit: 1,
    meaning: "The caller has registered shared memory of that name already.",
    next: "Unregister it first, or choose another name.",
  },
  SHARED_MEMORY_FULL: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "Too many regions of shared memory are registered.",
    next: "Unregister what is not used any more.",
  },
  TRACING_OFF: {
    status: "FAILED_PRECONDITION",
    exit: 1,
    meaning: "Somebody wants to trace calls, and the configuration does not say where to.",
    next: "Set traceDir to a directory for traces and start the server again.",
  },
  QUEUE_FULL: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "Too many calls are waiting for the service.",
    next: "Try again later, send fewer at a time, or raise maxQueue.",
  },
  SERVICE_BUSY: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The service is running its allowed number of jobs, and its admission policy is reject.",
    next: "Try again when a running job has ended.",
  },
  DEADLINE_EXCEEDED: {
    status: "DEADLINE_EXCEEDED",
    exit: 1,
    meaning: "The call's deadline passed before there was a result.",
    next: "Allow more time, or find out what the service is busy with.",
  },
  JOB_TIME_EXCEEDED: {
    status: "DEADLINE_EXCEEDED",
    exit: 1,
    meaning: "The job ran longer than the license allows one job to run.",
    next: "Send a smaller input, or ask the vendor for a longer job time.",
  },
  CANCELLED: { status: "CANCELLED", exit: 1, meaning: "The client cancelled the call.", next: "Nothing to do." },
  LICENSE_RUNS_EXHAUSTED: {
    status: "RESOURCE_EXHAUSTED",
    exit: 3,
    meaning: "All licensed runs of the service are used.",
    next: "Send a fresh `signet host request` to your vendor to renew.",
  },
  LICENSE_RUN_TIME_EXHAUSTED: {
    status: "RESOURCE_EXHAUSTED",
    exit: 3,
    meaning: "All licensed run time of the service is used.",
    next: "Send a fresh `signet host request` to your vendor to renew.",
  },
  UNAUTHENTICATED: {
    status: "UNAUTHENTICATED",
    exit: 1,
    meaning: "The call has no access token, or one this server does not know.",
    next: "Get a token with `signet access add` and send it as `authorization: Bearer TOKEN`; `signet` takes it from SIGNET_TOKEN. A certificate is let in with --certificate.",
  },
  PERMISSION_DENIED: {
    status: "PERMISSION_DENIED",
    exit: 1,
    meaning: "The token does not grant this.",
    next: "Ask an administrator for a token with the right role or service.",
  },
  RATE_LIMITED: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The caller makes more calls in a second than it was granted.",
    next: "Wait as long as the trailer grpc-retry-pushback-ms says, or ask an administrator for a higher rate.",
  },
  TOO_MANY_CALLS: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The caller has as many calls running as it was granted.",
    next: "Try again when one of them has ended, or ask an administrator for more.",
  },
  TOO_MANY_CONNECTIONS: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The gRPC listener has as many connections as it takes. The further one was closed.",
    next: "Use one connection for many calls; or raise grpc.maxConnections, and find out whose connections they are.",
  },
  NOT_IMPLEMENTED: {
    status: "UNIMPLEMENTED",
    exit: 1,
    meaning: "The server does not offer this.",
    next: "docs/reference/protocol.md lists what it offers.",
  },
  SHUTTING_DOWN: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The server is stopping and takes no new calls.",
    next: "Try again when it is back.",
  },
  INTERNAL: {
    status: "INTERNAL",
    exit: 1,
    meaning: "Signet made a mistake.",
    next: "Please report it with the log lines of the same job id.",
  },

  // Jobs
  JOB_NOT_FOUND: {
    status: "NOT_FOUND",
    exit: 1,
    meaning: "There is no such job, or it is another caller's.",
    next: "`signet jobs list` shows the jobs there are; those that ended are kept as long as jobs.keepDays says.",
  },
  JOB_KEY_REUSED: {
    status: "ALREADY_EXISTS",
    exit: 1,
    meaning: "The idempotency key belongs to an earlier job that asked for something else.",
    next: "Use a new key for a new job; send the same request again to find the job that has this one.",
  },
  JOB_QUEUE_FULL: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The caller has as many waiting jobs as one may have.",
    next: "Submit more when some have ended, or raise jobs.maxQueued.",
  },
  JOB_NOT_DONE: {
    status: "FAILED_PRECONDITION",
    exit: 1,
    meaning: "The job has no result, because it has not ended, or not well.",
    next: "`signet jobs watch` waits until a job ends; `signet jobs status` says why one failed.",
  },
  JOB_ATTEMPT_LOST: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "What ran the job ended, or was not heard of any more, before the job ended.",
    next: "Nothing to do: the job waits again.",
  },
  JOB_ATTEMPTS_EXHAUSTED: {
    status: "INTERNAL",
    exit: 1,
    meaning: "The job was begun as often as it may be, and each time what ran it was lost.",
    next: "Look in the log for why the server or the service's process ended; the job's input may be the reason.",
  },
  ARTIFACT_NOT_FOUND: {
    status: "NOT_FOUND",
    exit: 1,
    meaning: "There is no such artifact.",
    next: "Upload it first, or again; what no job uses is kept for a day.",
  },
  ARTIFACT_MISMATCH: {
    status: "INVALID_ARGUMENT",
    exit: 1,
    meaning: "What was uploaded is not what was promised.",
    next: "Send the same bytes that the digest and the size were made of.",
  },
  ARTIFACT_TOO_LARGE: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "An artifact has more bytes than one may have.",
    next: "Send less, or raise jobs.maxArtifactMiB.",
  },
  STORE_FULL: {
    status: "RESOURCE_EXHAUSTED",
    exit: 1,
    meaning: "The disk has too little room left for more jobs.",
    next: "Make room, keep jobs that ended for a shorter time (jobs.keepDays, jobs.keepMiB), or lower jobs.minFreeMiB.",
  },
  STORE_UNAVAILABLE: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The store of jobs cannot be read or written at the moment.",
    next: "Look whether its disk is full or its database is down; what was accepted is not lost.",
  },
  STORE_UNUSABLE: {
    status: "FAILED_PRECONDITION",
    exit: 2,
    meaning: "The store of jobs is damaged, or was made by a newer version.",
    next: "Restore it from a backup, run the newer version, or move it away to begin with an empty one.",
  },
  INSTANCE_EXISTS: {
    status: "FAILED_PRECONDITION",
    exit: 1,
    meaning: "An instance of the service has this place already.",
    next: "Wait until it has ended, or allow the service more instances.",
  },
  // Moving and withdrawing licenses
  RECEIPT_INVALID: {
    ...refused,
    meaning: "A deactivation receipt is damaged, or not of the host that the license was issued for.",
    next: "Make it again on the old host with `signet license deactivate`.",
  },
  ALREADY_MOVED: {
    ...refused,
    meaning: "The license was already moved to another host.",
    next: "Renew the license that took its place; `signet-license register show` names it.",
  },
  ALREADY_WITHDRAWN: {
    ...refused,
    meaning: "The vendor has withdrawn the license, or the issuer that would sign it.",
    next: "Issue a new license, without --renew or --moved-from; where it is the issuer, run `signet-license vendor rotate` first.",
  },
  TRIAL_USED: {
    ...refused,
    meaning: "The host key has already had its trial.",
    next: "Issue a full license instead.",
  },
  HOST_LEDGER_WENT_BACK: {
    ...refused,
    meaning: "The host's usage ledger is behind what an earlier request of that host quoted.",
    next: "Find out why with the operator; if you accept it, add --accept-rollback with the reason.",
  },

  // The vendor's desk
  REGISTER_TAMPERED: {
    ...refused,
    meaning: "The vendor's register of issued licenses was changed, cut or reordered.",
    next: "Restore the register from a backup that `signet-license register verify` accepts; without one, move it away and run `signet-license register rebuild`.",
  },
  VENDOR_SIGNER_FAILED: {
    status: "UNAVAILABLE",
    exit: 1,
    meaning: "The command that signs gave no signature of the key that it should hold.",
    next: "Run the command yourself: bytes on stdin, one base64 signature on stdout; docs/guides/issue-a-license.md shows it.",
  },
  VENDOR_DESCRIPTION_INVALID: {
    ...usage,
    meaning: "The vendor's service description has an unknown key or a wrong value.",
    next: "Correct the key the message names; docs/guides/issue-a-license.md explains them.",
  },
  VENDOR_KEY_UNREADABLE: {
    ...usage,
    meaning: "The vendor's private key could not be opened.",
    next: "Check the passphrase and the file.",
  },
  VENDOR_MISMATCH: {
    ...refused,
    meaning: "A license was signed by another vendor than the one whose keys or root were given.",
    next: "Give the license, keys and root of one vendor; `signet-license inspect` shows the key ids of each.",
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof errorCatalogue;
