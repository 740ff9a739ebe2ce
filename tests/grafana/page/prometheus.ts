// A data source on Prometheus' HTTP API. It asks as Grafana's own does, and returns frames of the same form.

import {
  type DataFrame,
  type DataQueryRequest,
  type DataQueryResponse,
  FieldType,
  type MetricFindValue,
  type ScopedVars,
} from '@grafana/data';
import { RuntimeDataSource, sceneGraph } from '@grafana/scenes';

// The scrape interval in Grafana's settings of the data source.
const SCRAPE_SECONDS = 15;

type Target = {
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  hide?: boolean;
};
type Labels = Record<string, string>;
type Series = { metric: Labels; value?: [number, string]; values?: Array<[number, string]> };

export class Prometheus extends RuntimeDataSource {
  interval = `${SCRAPE_SECONDS}s`;

  constructor(private url: string) {
    super('prometheus', 'prometheus');
  }

  async query(request: DataQueryRequest<any>): Promise<DataQueryResponse> {
    const targets: Target[] = request.targets.filter((target) => !target.hide);
    const frames = await Promise.all(targets.map((target) => this.frames(target, request, targets.length)));
    return { data: frames.flat() };
  }

  // The times in milliseconds at which the series of an annotation's query begin or begin again.
  async events(annotation: any, request: any): Promise<number[]> {
    const target = { ...annotation, refId: 'events', format: 'time_series', instant: false };
    const frames = await this.frames(target, request, 1);
    return frames.flatMap(({ fields: [time, value] }) => {
      const shown = time.values.filter((_, index) => value.values[index] > 0);
      return shown.filter((at, index) => index === 0 || at - shown[index - 1] > request.intervalMs * 1.5);
    });
  }

  async metricFindQuery(query: any, options?: any): Promise<MetricFindValue[]> {
    const { from, to } = options.range;
    const text = interpolated(query.query ?? query, options.scopedVars);
    const [, selector, label] = /^label_values\((.*),\s*(\w+)\)$/.exec(text) ?? [];
    if (!label) {
      throw new Error(`not a supported query of a variable: ${text}`);
    }
    const range = { start: String(from.unix()), end: String(to.unix()), 'match[]': selector };
    const values: string[] = await this.ask(`label/${label}/values`, range);
    return values.map((value) => ({ text: value, value }));
  }

  private async frames(target: Target, request: DataQueryRequest, targets: number): Promise<DataFrame[]> {
    const { from, to } = request.range;
    const step = Math.max(SCRAPE_SECONDS, request.intervalMs / 1000);
    const variables = { ...request.scopedVars, ...intervals(step, to.unix() - from.unix()) };
    const query = interpolated(target.expr, variables);
    if (target.instant && target.range) {
      throw new Error('a query must be instant or a range, not both');
    }
    const answer = target.instant
      ? await this.ask('query', { query, time: String(to.unix()) })
      : await this.ask('query_range', {
          query,
          start: String(Math.floor(from.unix() / step) * step),
          end: String(Math.floor(to.unix() / step) * step),
          step: String(step),
        });
    const series = seriesOf(answer);
    if (target.format === 'table') {
      return series.length ? [table(target, series, targets)] : [];
    }
    const frames = series.map((one) => frame(target, one, query, target.instant ? undefined : step * 1000));
    return target.format === 'heatmap' ? buckets(frames, series) : frames;
  }

  private async ask(path: string, parameters: Record<string, string>): Promise<any> {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = await answer.json();
    if (body.status !== 'success') {
      throw new Error(`${body.error}: ${parameters.query ?? path}`);
    }
    return body.data;
  }
}

function intervals(step: number, range: number): ScopedVars {
  const seconds = (value: number) => ({ text: `${value}s`, value: `${value}s` });
  return {
    __interval: seconds(step),
    __rate_interval: seconds(Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)),
    __range: seconds(range),
    __range_s: { text: String(range), value: String(range) },
  };
}

// The text with its variables replaced. Several values become alternatives of a regular expression.
function interpolated(text: string, variables: ScopedVars): string {
  const escaped = (value: string) => value.replace(/[\\^$*+?.()|[\]{}]/g, '\\\\$&').replace(/"/g, '\\"');
  const format = (value: unknown) => (Array.isArray(value) ? `(${value.map(escaped).join('|')})` : escaped(String(value)));
  const scene = variables.__sceneObject?.value.valueOf();
  return sceneGraph.interpolate(scene, text, variables, format as any);
}

function seriesOf(data: { resultType: string; result: any }): Series[] {
  return data.resultType === 'scalar' ? [{ metric: {}, value: data.result }] : data.result;
}

// Numbers, NaN, +Inf and -Inf.
const number = (text: string) => Number(text.replace('Inf', 'Infinity'));

function legend(target: Target, labels: Labels, query: string): string {
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return name + (pairs.length ? `{${pairs.join(', ')}}` : '') || query;
}

function frame(target: Target, series: Series, query: string, interval?: number): DataFrame {
  const samples = series.values ?? [series.value!];
  const displayNameFromDS = legend(target, series.metric, query);
  const time = { name: 'Time', type: FieldType.time, config: { interval }, values: samples.map(([time]) => time * 1000) };
  const values = samples.map(([, value]) => number(value));
  const value = { name: 'Value', type: FieldType.number, labels: series.metric, config: { displayNameFromDS }, values };
  return { refId: target.refId, name: displayNameFromDS, length: samples.length, fields: [time, value] };
}

// One frame with a column for each label. With several queries, each one's value column has its own name, so that they
// can be merged.
function table(target: Target, series: Series[], targets: number): DataFrame {
  const last = series.map((one) => one.value ?? one.values!.at(-1)!);
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const column = (name: string, type: FieldType, values: unknown[]) => ({ name, type, config: {}, values });
  return {
    refId: target.refId,
    length: series.length,
    fields: [
      column('Time', FieldType.time, last.map(([time]) => time * 1000)),
      ...labels.map((label) => column(label, FieldType.string, series.map((one) => one.metric[label]))),
      column(targets > 1 ? `Value #${target.refId}` : 'Value', FieldType.number, last.map(([, value]) => number(value))),
    ],
  };
}

// A histogram's buckets in order, without what the lower ones already count.
function buckets(frames: DataFrame[], series: Series[]): DataFrame[] {
  const order = frames.map((_, index) => index).sort((a, b) => number(series[a].metric.le) - number(series[b].metric.le));
  const value = (index: number) => frames[order[index]].fields[1].values;
  return order.map((from, index) => {
    const [time, field] = frames[from].fields;
    const values = field.values.map((sum, at) => (index ? Math.max(0, sum - value(index - 1)[at]) : sum));
    return { ...frames[from], fields: [time, { ...field, values }] };
  });
}
