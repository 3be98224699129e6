import type { Random } from "../../test/helpers/seeded-random.ts";
import type { LifeEnd } from "./books.ts";
import type { Security } from "./desk.ts";

/** One life of the server, as it is meant to go. */
export interface LifePlan {
  readonly seconds: number;
  readonly end: LifeEnd;
  readonly security: Security;
}

const SHORTEST_S = 12;
/** From here on one life is long enough to see memory grow. */
const LONG_RUN_S = 240;

/**
 * Lives that fill the time: the first ends by kill -9 and the last in order, and of a long run one life has two
 * fifths for itself.
 */
export function planLives(totalS: number, random: Random): LifePlan[] {
  const draw = (seconds: number, end: LifeEnd): LifePlan => ({
    seconds: Math.round(seconds),
    end,
    security: random.pick(["none", "none", "tls", "mtls"] as const),
  });
  if (totalS < 3 * SHORTEST_S) {
    return [draw(totalS / 2, "SIGKILL"), draw(totalS / 2, "SIGTERM")];
  }
  const lives = [draw(random.between(SHORTEST_S, 2 * SHORTEST_S), "SIGKILL")];
  let leftS = totalS - lives[0]!.seconds;
  if (totalS >= LONG_RUN_S) {
    lives.push({ ...draw(totalS * 0.4, "SIGTERM"), security: "none" });
    leftS -= totalS * 0.4;
  }
  while (leftS > 2 * SHORTEST_S) {
    const seconds = Math.min(random.magnitude(SHORTEST_S, Math.max(SHORTEST_S, totalS / 10)), leftS - SHORTEST_S);
    lives.push(draw(seconds, random.chance(0.6) ? "SIGKILL" : "SIGTERM"));
    leftS -= seconds;
  }
  lives.push(draw(leftS, "SIGTERM"));
  return lives;
}
