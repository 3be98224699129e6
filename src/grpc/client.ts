import { SignetError } from "../errors.ts";
import { isDatatype, type Tensor } from "../tensor/index.ts";
import {
  type InferRequestMessage,
  type InferResponseMessage,
  inferenceService,
  type ModelConfigMessage,
  type ModelMetadataMessage,
} from "./messages.ts";
import { type ClientOptions, ServiceClient } from "./service-client.ts";

/** A small client of the v2 protocol. Its errors are the server's own, by code. */
export class InferenceClient {
  readonly #client: ServiceClient;

  /** @throws as ServiceClient */
  constructor(options: ClientOptions) {
    this.#client = new ServiceClient(inferenceService(), options);
  }

  modelMetadata(name: string): Promise<ModelMetadataMessage> {
    return this.#client.call("ModelMetadata", { name });
  }

  async modelConfig(name: string): Promise<ModelConfigMessage> {
    return (await this.#client.call<{ config: ModelConfigMessage }>("ModelConfig", { name })).config;
  }

  /** Datatypes are sent as they are named; the server judges them. */
  async infer(
    service: string,
    inputs: readonly (Omit<Tensor, "datatype"> & { readonly datatype: string })[],
  ): Promise<Tensor[]> {
    const request: Partial<InferRequestMessage> = {
      model_name: service,
      inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
      raw_input_contents: inputs.map(({ data }) => data),
    };
    const response = await this.#client.call<InferResponseMessage>("ModelInfer", request);
    return response.outputs.map(({ name, datatype, shape }, index) => {
      const data = response.raw_output_contents[index];
      if (!isDatatype(datatype) || data === undefined) {
        throw new SignetError("INTERNAL", `output ${name}: the server's answer is not in the v2 protocol's raw form`);
      }
      return { name, datatype, shape: shape.map(Number), data };
    });
  }

  close(): void {
    this.#client.close();
  }
}
