/** The GPUs that a process sees, by their serial numbers, which CUDA takes; none where it has none. */
export type VisibleGpus = readonly string[] | "all";

/**
 * The environment of a service host: an allow-list, never a copy of the gateway's. No LD_* or NODE_*
 * variable gets through, no token, no passphrase.
 * @param gpus see {@link VisibleGpus}
 */
export function serviceHostEnvironment(home: string, threads: number, gpus: VisibleGpus): Record<string, string> {
  return {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    // Plugins need no files of their own; what a library drops here shows up as a finding.
    HOME: home,
    TMPDIR: home,
    // ONNX Runtime 1.29 and newer collect and send usage data unless told not to.
    ORT_DISABLE_TELEMETRY: "1",
    // Threads inside the plugin multiply with the worker threads; a plugin that wants more says so in its config.
    OMP_NUM_THREADS: "1",
    UV_THREADPOOL_SIZE: String(Math.max(4, threads)),
    ...(gpus === "all" ? {} : { CUDA_VISIBLE_DEVICES: gpus.join(",") }),
  };
}
