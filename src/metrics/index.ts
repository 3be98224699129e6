export { type MetricDefinition, metricCatalogue } from "./catalogue.ts";
export { expositionFor } from "./exposition.ts";
export { Metrics, type MetricsParts } from "./metrics.ts";
