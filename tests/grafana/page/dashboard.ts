// The scene of a dashboard's JSON.

import {
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneQueryRunner,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
} from '@grafana/scenes';

function variable(json: any) {
  const { name, label, type, description, hide } = json;
  if (type === 'datasource') {
    return new DataSourceVariable({ name, label, description, hide, pluginId: json.query });
  }
  if (type !== 'query') {
    throw new Error(`variables of the type ${type} are not supported by tests/grafana/page/dashboard.ts`);
  }
  return new QueryVariable({
    name,
    label,
    description,
    hide,
    datasource: json.datasource,
    query: json.query,
    regex: json.regex,
    refresh: json.refresh,
    sort: json.sort,
    isMulti: json.multi,
    includeAll: json.includeAll,
    allValue: json.allValue,
    value: json.current?.value ?? '',
    text: json.current?.text ?? '',
  });
}

function data(json: any) {
  const runner = new SceneQueryRunner({
    datasource: json.datasource,
    queries: json.targets ?? [],
    maxDataPoints: json.maxDataPoints,
    maxDataPointsFromWidth: true,
    minInterval: json.interval,
  });
  const transformations = json.transformations ?? [];
  return transformations.length ? new SceneDataTransformer({ $data: runner, transformations }) : runner;
}

function panel(json: any) {
  if (json.repeat) {
    throw new Error(`${json.title}: repeated panels are not supported by tests/grafana/page/dashboard.ts`);
  }
  const body = new VizPanel({
    key: `panel-${json.id}`,
    title: json.title,
    description: json.description,
    pluginId: json.type,
    options: json.options,
    fieldConfig: json.fieldConfig,
    displayMode: json.transparent ? 'transparent' : 'default',
    $data: json.targets ? data(json) : undefined,
    $timeRange: json.timeFrom ? new SceneTimeRange({ from: `now-${json.timeFrom}`, to: 'now' }) : undefined,
  });
  return new SceneGridItem({ ...place(json), body });
}

function place(json: any) {
  const { x, y, w, h } = json.gridPos;
  return { x, y, width: w, height: h };
}

// A row has the panels that it lists, or those that follow it.
function rows(panels: any[]) {
  const children: any[] = [];
  let row: any;
  for (const json of panels) {
    if (json.type === 'row') {
      row = new SceneGridRow({
        ...place(json),
        key: `row-${json.id}`,
        title: json.title,
        isCollapsible: true,
        isCollapsed: json.collapsed,
        children: (json.panels ?? []).map(panel),
      });
      children.push(row);
    } else {
      (row && !row.state.isCollapsed ? row.state.children : children).push(panel(json));
    }
  }
  return children;
}

export function scene(json: any) {
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: json.time.from, to: json.time.to, timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: json.templating.list.map(variable) }),
    controls: [new VariableValueSelectors({}), new SceneTimePicker({})],
    body: new SceneGridLayout({ isLazy: false, children: rows(json.panels) }),
  });
}
