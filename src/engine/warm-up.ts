import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import { quoteName, type Tensor, type TensorSpec } from "../tensor/index.ts";
import type { HostProcess } from "./host-process.ts";
import { inputBytes, verifyRoom, writeInputs } from "./input.ts";
import { tensorsFromReply } from "./output.ts";
import type { SlotPool } from "./slot-pool.ts";

/** Something to be run in a process before it takes calls. Its inputs are those of the service, in its order. */
export interface WarmUpRequest {
  readonly name: string;
  /** How often it is run. */
  readonly count: number;
  readonly inputs: readonly Tensor[];
}

/** A process that has loaded its plugin and takes no calls yet, and the slots that nothing else uses meanwhile. */
export interface ColdProcess {
  readonly service: string;
  readonly host: HostProcess;
  readonly pool: SlotPool;
  readonly outputs: readonly TensorSpec[];
  /** How long all of it may take. */
  readonly timeoutMs: number;
}

/** Runs requests in a process one after another, and throws their outputs away. */
export class WarmUp {
  readonly #process: ColdProcess;
  /** Of the request that runs; empty before the first. */
  #name = "";

  constructor(process: ColdProcess) {
    this.#process = process;
  }

  /** What takes too long ends the process. @throws WARM_UP_FAILED */
  async run(requests: readonly WarmUpRequest[]): Promise<void> {
    const { host, timeoutMs } = this.#process;
    const timer = setTimeout(() => host.kill(this.#failure(`not done after ${timeoutMs} ms`)), timeoutMs);
    try {
      for (const request of requests) {
        this.#name = request.name;
        for (let turn = 0; turn < request.count; turn++) await this.#runOnce(request);
      }
    } catch (error) {
      throw this.explain(SignetError.from(error));
    } finally {
      clearTimeout(timer);
    }
  }

  /** An error, or the end of the process meanwhile, with what was being done. */
  explain(error: SignetError): SignetError {
    return error.code === "WARM_UP_FAILED" ? error : this.#failure(error.message, error);
  }

  #failure(words: string, cause?: SignetError): SignetError {
    const where = `${this.#process.service}: warmup${this.#name === "" ? "" : ` ${quoteName(this.#name)}`}`;
    return new SignetError("WARM_UP_FAILED", `${where}: ${words}`, { cause });
  }

  #runOnce({ inputs }: WarmUpRequest): Promise<void> {
    const { service, host, pool, outputs } = this.#process;
    const { slots } = pool;
    const slot = pool.take(inputBytes(inputs), true)!; // no job has one
    return new Promise<void>((resolve, reject) => {
      verifyRoom(service, inputs, slots.data(slot));
      const written = writeInputs([inputs], slots.data(slot));
      slots.task(slot).write(written.places, written.end);
      pool.noteUse(slot, written.end);
      slots.resetControl(slot, 0);
      const ended = (reply: RunReply | null) => {
        try {
          tensorsFromReply(service, reply, outputs, slots.data(slot), true);
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      host.run(slot, { ended, lost: reject }, Number.POSITIVE_INFINITY);
    }).finally(() => pool.give(slot));
  }
}
