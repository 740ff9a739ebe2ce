// The types of panels that the dashboards use, made of the components of @grafana/ui.

import {
  cacheFieldDisplayNames,
  type DataFrame,
  FieldType,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  PanelPlugin,
  type PanelProps,
  renderMarkdown,
  VizOrientation,
} from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

import { option, registerRuntimePanelPlugin } from './environment';

type Props = PanelProps<any>;

// Options of a field in a graph or a table, and Grafana's values for those that a dashboard omits.
const GRAPH: Record<string, unknown> = {
  axisBorderShow: false,
  axisCenteredZero: false,
  axisColorMode: 'text',
  axisGridShow: undefined,
  axisLabel: '',
  axisPlacement: 'auto',
  axisSoftMax: undefined,
  axisSoftMin: undefined,
  axisWidth: undefined,
  barAlignment: 0,
  barWidthFactor: 0.6,
  drawStyle: 'line',
  fillOpacity: 0,
  gradientMode: 'none',
  hideFrom: { tooltip: false, viz: false, legend: false },
  insertNulls: false,
  lineInterpolation: 'linear',
  lineStyle: undefined,
  lineWidth: 1,
  pointSize: 5,
  scaleDistribution: { type: 'linear' },
  showPoints: 'auto',
  showValues: false,
  spanNulls: false,
  stacking: { mode: 'none', group: 'A' },
  thresholdsStyle: { mode: 'off' },
  transform: undefined,
};
const TABLE: Record<string, unknown> = {
  align: 'auto',
  cellOptions: { type: 'auto' },
  filterable: false,
  footer: undefined,
  hideFrom: { viz: false },
  inspect: false,
  minWidth: undefined,
  width: undefined,
};

function NoData({ fieldConfig }: Props) {
  return <div data-no-data>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
}

const isEmpty = (series: DataFrame[]) => series.every((frame) => frame.length === 0);

// A graph draws no infinite values.
function finite(frame: DataFrame): DataFrame {
  const fields = frame.fields.map((field) =>
    field.type === FieldType.number
      ? { ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) }
      : field
  );
  return { ...frame, fields };
}

function Graph(props: Props) {
  if (isEmpty(props.data.series)) {
    return <NoData {...props} />;
  }
  return (
    <TimeSeries
      frames={props.data.series.map(finite)}
      structureRev={props.data.structureRev}
      width={props.width}
      height={props.height}
      timeRange={props.timeRange}
      timeZone={props.timeZone}
      legend={props.options.legend ?? { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] }}
      options={props.options}
    />
  );
}

function values(props: Props, theme: any): FieldDisplay[] {
  return getFieldDisplayValues({
    fieldConfig: props.fieldConfig,
    reduceOptions: props.options.reduceOptions,
    replaceVariables: props.replaceVariables,
    theme,
    data: props.data.series,
    timeZone: props.timeZone,
    sparkline: props.options.graphMode !== undefined && props.options.graphMode !== 'none',
  });
}

function Repeated(props: Props & { autoGrid: boolean; render: (value: FieldDisplay, place: any, theme: any) => any }) {
  const theme = useTheme2();
  const { data, width, height, options, renderCounter } = props;
  return (
    <VizRepeater
      getValues={() => values(props, theme)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={(place) => props.render(place.value, place, theme)}
      source={data}
      width={width}
      height={height}
      autoGrid={props.autoGrid}
      renderCounter={renderCounter}
      orientation={options.orientation ?? VizOrientation.Auto}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      minVizWidth={options.minVizWidth}
      itemSpacing={3}
    />
  );
}

function Stat(props: Props) {
  const { options } = props;
  const render = ({ display, sparkline, hasLinks }: FieldDisplay, place: any, theme: any) => (
    <BigValue
      value={display}
      sparkline={sparkline}
      hasLinks={hasLinks}
      colorMode={options.colorMode}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      textMode={options.textMode}
      text={options.text}
      count={place.count}
      alignmentFactors={place.alignmentFactors}
      width={place.width}
      height={place.height}
      disableWideLayout={!options.wideLayout}
      theme={theme}
    />
  );
  return <Repeated {...props} autoGrid render={render} />;
}

function Bars(props: Props) {
  const { options } = props;
  const render = ({ display, view, field, colIndex }: FieldDisplay, place: any, theme: any) => (
    <BarGauge
      value={display}
      field={field}
      display={view?.getFieldDisplayProcessor(colIndex ?? 0)}
      text={options.text}
      displayMode={options.displayMode}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
      showUnfilled={options.showUnfilled}
      orientation={place.orientation}
      alignmentFactors={place.alignmentFactors}
      width={place.width}
      height={place.height}
      itemSpacing={3}
      lcdCellWidth={12}
      theme={theme}
    />
  );
  return <Repeated {...props} autoGrid={false} render={render} />;
}

function Table(props: Props) {
  const { data, options } = props;
  if (isEmpty(data.series)) {
    return <NoData {...props} />;
  }
  if (data.series.length > 1) {
    throw new Error(`the table ${props.title} shows one of ${data.series.length} results: merge them`);
  }
  cacheFieldDisplayNames(data.series);
  return (
    <TableNG
      data={data.series[0]}
      width={props.width}
      height={props.height}
      noHeader={options.showHeader === false}
      sortBy={options.sortBy}
      cellHeight={options.cellHeight}
      noValue={props.fieldConfig.defaults.noValue}
      structureRev={data.structureRev}
      fieldConfig={props.fieldConfig}
      timeRange={props.timeRange}
      // All rows are in the page, also those that one must scroll to.
      enableVirtualization={false}
      frozenColumns={options.frozenColumns?.left}
      getActions={() => []}
    />
  );
}

function Text({ options, replaceVariables }: Props) {
  return <div dangerouslySetInnerHTML={{ __html: renderMarkdown(replaceVariables(options.content ?? '')) }} />;
}

function register(pluginId: string, component: (props: Props) => any, custom: Record<string, unknown> = {}) {
  const plugin = new PanelPlugin<any, any>(component).useFieldConfig({
    useCustomConfig: (builder) => {
      for (const [path, value] of Object.entries(custom)) {
        builder.addCustomEditor(option(path, undefined, value) as any);
      }
    },
  });
  registerRuntimePanelPlugin({ pluginId, plugin });
}

export function registerPanels() {
  register('timeseries', Graph, GRAPH);
  // @grafana/ui has no heatmap. A graph of its buckets shows the same numbers.
  register('heatmap', Graph, GRAPH);
  register('stat', Stat);
  register('bargauge', Bars);
  register('table', Table, TABLE);
  register('text', Text);
}
