/**
 * The datatypes of the v2 inference protocol, with their number in ONNX's TensorProto.DataType
 * (which the plugin ABI uses) and the size of one element in bytes. BYTES elements vary in size:
 * each is a little-endian uint32 length followed by that many bytes.
 */
export const datatypes = {
  BOOL: { onnx: 9, bytes: 1 },
  UINT8: { onnx: 2, bytes: 1 },
  UINT16: { onnx: 4, bytes: 2 },
  UINT32: { onnx: 12, bytes: 4 },
  UINT64: { onnx: 13, bytes: 8 },
  INT8: { onnx: 3, bytes: 1 },
  INT16: { onnx: 5, bytes: 2 },
  INT32: { onnx: 6, bytes: 4 },
  INT64: { onnx: 7, bytes: 8 },
  FP16: { onnx: 10, bytes: 2 },
  FP32: { onnx: 1, bytes: 4 },
  FP64: { onnx: 11, bytes: 8 },
  BF16: { onnx: 16, bytes: 2 },
  BYTES: { onnx: 8, bytes: null },
} as const;

export type Datatype = keyof typeof datatypes;

export const datatypeNames = Object.keys(datatypes) as Datatype[];

const byOnnxNumber = new Map<number, Datatype>(datatypeNames.map((name) => [datatypes[name].onnx, name]));

export function isDatatype(name: string): name is Datatype {
  return Object.hasOwn(datatypes, name);
}

/** The datatype of an ONNX number, or undefined for one the v2 protocol does not have. */
export function datatypeFromOnnx(number: number): Datatype | undefined {
  return byOnnxNumber.get(number);
}
