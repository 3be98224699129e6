import * as kind from "./kinds.ts";
import type { Figures } from "./measure.ts";
import type { ServerKind } from "./servers.ts";

/** One thing that is measured: how much goes through, how, by whom, and what is expected of it. */
export interface Cell {
  readonly name: string;
  /** Of the one tensor that is sent. */
  readonly bytes: number;
  /** Calls under way, or messages of one stream that wait for their answers. */
  readonly inFlight: number;
  readonly connections: number;
  readonly stream: boolean;
  /** Others are compared with the first. */
  readonly servers: readonly ServerKind[];
  /** Those of them that are measured with `--quick` too. */
  readonly quick: readonly ServerKind[];
  /** What is promised of a server's figure over a peer's. Bounds are inclusive. */
  readonly bounds: readonly Bound[];
}

export interface Bound {
  readonly server: string;
  readonly peer: string;
  readonly figure: keyof Figures;
  /** At least for `rate`, at most for everything else; null where it is only to be measured. */
  readonly must: number | null;
  readonly aim: number;
}

function bound(server: ServerKind, figure: Bound["figure"], peer: ServerKind, must: number | null, aim: number): Bound {
  return { server: server.name, figure, peer: peer.name, must, aim };
}

function cell(
  name: string,
  [bytes, inFlight]: readonly [number, number],
  servers: readonly ServerKind[],
  rest: Partial<Cell> = {},
): Cell {
  return { name, bytes, inFlight, servers, connections: 1, stream: false, quick: [], bounds: [], ...rest };
}

const { cpp, inline, signet, signetNode, aio, triton } = kind;
const [oneService, tenServices, fiftyServices] = [1, 10, 50].map(kind.signetWithServices) as [
  ServerKind,
  ServerKind,
  ServerKind,
];

export const cells: readonly Cell[] = [
  cell("64 B, 1 in flight", [64, 1], [kind.cppPlugin, inline, signet], {
    quick: [kind.cppPlugin, signet],
    bounds: [bound(signet, "p50", kind.cppPlugin, 2.5, 1.5)],
  }),
  cell(
    "64 B, 32 in flight",
    [64, 32],
    [cpp, kind.cppCallback, kind.cppPlugin, inline, signet, signetNode, aio, triton],
    {
      quick: [cpp, inline, signet, signetNode, aio, triton],
      bounds: [
        bound(inline, "cpu", cpp, 1, 0.75),
        bound(signet, "cpu", cpp, 2, 1.3),
        bound(signetNode, "cpu", cpp, 5, 4),
        bound(signet, "rate", aio, 8, 12),
        bound(signet, "rate", triton, 1.5, 3),
      ],
    },
  ),
  cell("16 KB, 32 in flight", [16_384, 32], [cpp, inline, signet], { bounds: [bound(inline, "cpu", cpp, 1.2, 0.95)] }),
  cell("600 KB, 8 in flight", [600_000, 8], [cpp, kind.cppPlugin, inline, signet, signetNode, aio, triton], {
    quick: [cpp, inline, signet],
    bounds: [
      bound(inline, "cpu", cpp, 0.9, 0.65),
      bound(signet, "cpu", cpp, 1.2, 0.8),
      bound(signetNode, "cpu", cpp, 2, 1.4),
      bound(signet, "rate", aio, 1.7, 2.2),
      bound(signet, "rate", triton, 1.5, 3),
    ],
  }),
  cell("600 KB, 8 in flight, 4 connections", [600_000, 8], [cpp, inline, signet], {
    connections: 4,
    bounds: [bound(inline, "cpu", cpp, 1.4, 1.15)],
  }),
  cell("4 MB, 4 in flight", [4_000_000, 4], [cpp, inline, signet, signetNode, aio], {
    bounds: [
      bound(inline, "cpu", cpp, 0.7, 0.45),
      bound(signetNode, "cpu", cpp, 1.5, 1.15),
      bound(signet, "rate", aio, 3, 4.5),
    ],
  }),
  cell("stream, 64 B, 32 outstanding", [64, 32], [cpp, kind.cppCallback, inline, signet, signetNode], {
    stream: true,
    quick: [cpp, inline, signet],
    bounds: [bound(inline, "cpu", cpp, 0.9, 0.65)],
  }),
  cell("600 KB, 8 in flight, shared memory", [600_000, 8], [signet, kind.signetShared], {
    quick: [signet, kind.signetShared],
    bounds: [bound(kind.signetShared, "cpu", signet, 0.1, 0.05)],
  }),
  cell("batching, 200 us a run, 32 in flight", [64, 32], [kind.cppSlow, kind.signetBatched], {
    quick: [kind.cppSlow, kind.signetBatched],
    bounds: [bound(kind.signetBatched, "rate", kind.cppSlow, 3, 4)],
  }),
  cell("batching, 200 us a run, 128 in flight", [64, 128], [kind.cppSlow, kind.signetBatched], {
    bounds: [bound(kind.signetBatched, "rate", kind.cppSlow, 5, 7)],
  }),
  cell("ONNX model, 8 in flight", [kind.classifierBytes, 8], [kind.tritonClassifier, kind.signetClassifier], {
    bounds: [bound(kind.signetClassifier, "rate", kind.tritonClassifier, 1.5, 3)],
  }),
  cell("TLS, 64 B, 32 in flight", [64, 32], [kind.cppTls, kind.signetTls], {
    bounds: [bound(kind.signetTls, "cpu", kind.cppTls, null, 1)],
  }),
  cell("TLS, 600 KB, 8 in flight", [600_000, 8], [kind.cppTls, kind.signetTls], {
    bounds: [bound(kind.signetTls, "cpu", kind.cppTls, null, 1)],
  }),
  ...[1, 10, 100, 1000].map((connections) =>
    cell(`growth: ${connections} connection${connections === 1 ? "" : "s"}`, [64, 32], [oneService], { connections }),
  ),
  cell("growth: 1, 10 and 50 services", [64, 32], [oneService, tenServices, fiftyServices]),
];
