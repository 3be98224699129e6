/** One thing that is measured: how much goes through, how, and what is expected of it. */
export interface Cell {
  readonly name: string;
  readonly bytes: number;
  /** Calls under way, or messages of one stream that wait for their answers. */
  readonly inFlight: number;
  readonly connections: number;
  readonly stream: boolean;
  /** In `--quick` too. */
  readonly quick: boolean;
  /** What is promised of a server's figure over a peer's. Bounds are inclusive. */
  readonly bounds: readonly Bound[];
}

export interface Bound {
  readonly server: string;
  readonly peer: string;
  /** `cpu`: CPU time per request; `rate`: requests per second; `p50`: median latency. */
  readonly figure: "cpu" | "rate" | "p50";
  /** At most for cpu and p50, at least for rate. */
  readonly must: number;
  readonly aim: number;
}

function bound(server: string, figure: Bound["figure"], peer: string, must: number, aim: number): Bound {
  return { server, figure, peer, must, aim };
}

function cell(name: string, bytes: number, inFlight: number, rest: Partial<Cell> & Pick<Cell, "bounds">): Cell {
  return { name, bytes, inFlight, connections: 1, stream: false, quick: false, ...rest };
}

const signet = "signet";
const node = "signet, node:http2";
const cpp = "C++";
const cppPlugin = "C++ with plugin";
const aio = "grpc.aio";
const triton = "triton";

/** Bytes are of the one tensor that is sent and comes back. */
export const cells: readonly Cell[] = [
  cell("64 B, 1 in flight", 64, 1, { bounds: [bound(signet, "p50", cppPlugin, 2.5, 1.5)] }),
  cell("64 B, 32 in flight", 64, 32, {
    quick: true,
    bounds: [
      bound(signet, "cpu", cpp, 2, 1.3),
      bound(node, "cpu", cpp, 5, 4),
      bound(signet, "rate", aio, 8, 12),
      bound(signet, "rate", triton, 1.5, 3),
    ],
  }),
  cell("16 KB, 32 in flight", 16_384, 32, { bounds: [] }),
  cell("600 KB, 8 in flight", 600_000, 8, {
    quick: true,
    bounds: [
      bound(signet, "cpu", cpp, 1.2, 0.8),
      bound(node, "cpu", cpp, 2, 1.4),
      bound(signet, "rate", aio, 1.7, 2.2),
      bound(signet, "rate", triton, 1.5, 3),
    ],
  }),
  cell("600 KB, 8 in flight, 4 connections", 600_000, 8, { connections: 4, bounds: [] }),
  cell("4 MB, 4 in flight", 4_000_000, 4, {
    bounds: [bound(node, "cpu", cpp, 1.5, 1.15), bound(signet, "rate", aio, 3, 4.5)],
  }),
  cell("64 B, one stream, 32 outstanding", 64, 32, { stream: true, bounds: [bound(signet, "cpu", cpp, 0.9, 0.65)] }),
];
