import type { Histogram } from "../telemetry/index.ts";
import { type LabelName, type MetricDefinition, type MetricName, metricCatalogue } from "./catalogue.ts";

export interface Sample {
  /** In the order of the definition's labels. */
  readonly labelValues: readonly string[];
  readonly value: number | Histogram;
}

/** A metric and its values at the moment. */
export interface MetricFamily extends MetricDefinition {
  readonly name: string;
  readonly samples: readonly Sample[];
}

type Value<Name extends MetricName> = (typeof metricCatalogue)[Name]["type"] extends "histogram" ? Histogram : number;

/** The values of one scrape, as they are collected. */
export class Scrape {
  readonly #samples = new Map<MetricName, Sample[]>();

  add<Name extends MetricName>(name: Name, labels: Record<LabelName<Name>, string>, value: Value<Name>): void {
    const order = metricCatalogue[name].labels as readonly LabelName<Name>[];
    const sample = { labelValues: order.map((label) => labels[label]), value };
    const samples = this.#samples.get(name);
    if (samples === undefined) this.#samples.set(name, [sample]);
    else samples.push(sample);
  }

  /** One sample for each of the states, 1 for the present one. */
  addState<Name extends MetricName>(
    name: Value<Name> extends number ? Name : never,
    states: readonly string[],
    present: string,
    labelsOf: (state: string) => Record<LabelName<Name>, string>,
  ): void {
    for (const state of states) this.add(name, labelsOf(state), (state === present ? 1 : 0) as Value<Name>);
  }

  /** In the order of the catalogue; a metric without a value is left out. */
  families(): MetricFamily[] {
    const families: MetricFamily[] = [];
    for (const [name, definition] of Object.entries(metricCatalogue)) {
      const samples = this.#samples.get(name as MetricName);
      if (samples !== undefined) families.push({ name, ...definition, samples });
    }
    return families;
  }
}
