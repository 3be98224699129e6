export { canShareBatch, findUnbatchable, splitBatch, verifyBatchSize } from "./batch.ts";
export { countBytesElements, encodeBytesElements } from "./bytes-elements.ts";
export { classify, classifyItems, isClassifiable } from "./classify.ts";
export { type Datatype, datatypeFromOnnx, datatypeNames, datatypes, isDatatype } from "./datatype.ts";
export { jsonTensorSchema, tensorFromJson, tensorToJson } from "./json.ts";
export {
  type CallParameters,
  type ParameterValue,
  type RegionPlace,
  readCallParameters,
  readClasses,
  readPlace,
} from "./parameters.ts";
export { quoteName } from "./quote-name.ts";
export { elementCount, MAX_RANK, type Tensor, type TensorSpec } from "./tensor.ts";
export { validateInputDeclarations, validateInputs, validateOutputs } from "./validate.ts";
