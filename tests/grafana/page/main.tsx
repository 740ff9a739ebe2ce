// A page that shows one dashboard. The driver calls `openDashboard`, and reads what is on the page with `shownPanels`.

import { type DataFrame, FieldType, LoadingState, ThemeContext } from '@grafana/data';
import { config, locationService, LocationServiceProvider } from '@grafana/runtime';
import { sceneGraph, SceneGridRow, VizPanel } from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';

import { scene } from './dashboard';
import { setUp } from './environment';
import { registerPanels } from './panels';
import { Prometheus } from './prometheus';

let source: Prometheus;
let shown: ReturnType<typeof scene>;

const panels = () => sceneGraph.findAllObjects(shown, (one) => one instanceof VizPanel) as VizPanel[];

async function openDashboard(json: unknown, prometheus: string) {
  source = new Prometheus(prometheus);
  await setUp(source);
  registerPanels();
  shown = scene(json);
  createRoot(document.getElementById('dashboard')!).render(
    <ThemeContext.Provider value={config.theme2}>
      <GlobalStyles />
      <LocationServiceProvider service={locationService}>
        <MemoryRouter>
          <shown.Component model={shown} />
        </MemoryRouter>
      </LocationServiceProvider>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

// Runs the queries of a dashboard's annotations on the last hour. Returns the number of events by the annotation's name.
async function countEvents(json: any) {
  const scopedVars = { __sceneObject: { value: { valueOf: () => shown }, text: '' } };
  const { to } = sceneGraph.getTimeRange(shown).state.value;
  const request = { range: { from: to.clone().subtract(1, 'hour'), to }, intervalMs: 15_000, scopedVars };
  const asked = json.annotations.list.filter((annotation: any) => annotation.expr);
  const counted = asked.map(async (annotation: any) => [annotation.name, (await source.events(annotation, request)).length]);
  return Object.fromEntries(await Promise.all(counted));
}

function expandRows() {
  for (const row of sceneGraph.findAllObjects(shown, (one) => one instanceof SceneGridRow) as SceneGridRow[]) {
    if (row.state.isCollapsed) {
      row.onCollapseToggle();
    }
  }
}

// Whether there is anything to show except NaN. A table may have texts only.
function hasValues(series: DataFrame[]) {
  const fields = series.flatMap((frame) => frame.fields.filter((field) => field.type !== FieldType.time));
  const numbers = fields.filter((field) => field.type === FieldType.number);
  return (numbers.length ? numbers : fields).some((field) =>
    field.values.some((value) => (value ?? null) !== null && !Number.isNaN(value))
  );
}

// Whether a graph is still to be drawn.
function isBlank(canvas: HTMLCanvasElement) {
  const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value) => value === 0);
}

// What is in the page, by panel: its text in lines, and whether its data has arrived and is drawn.
function shownPanels() {
  return panels().map((panel) => {
    const element = document.querySelector<HTMLElement>(`[data-viz-panel-key="${panel.state.key}"]`);
    const place = element?.getBoundingClientRect();
    const canvas = element?.querySelector('canvas') ?? null;
    const data = panel.state.$data && sceneGraph.getData(panel).state.data;
    const text = (found: Element) => (found as HTMLElement).innerText.trim();
    const lines = (element?.innerText ?? '').split('\n').map((line) => line.trim()).filter(Boolean);
    const below = lines.slice(lines.indexOf(panel.state.title) + 1);
    return {
      title: panel.state.title,
      type: panel.state.pluginId,
      // A panel in a collapsed row asks for nothing.
      isLoading:
        element !== null &&
        panel.state.$data !== undefined &&
        ![LoadingState.Done, LoadingState.Error].includes(data?.state as any),
      // Nothing is drawn outside the window.
      isEmpty: (place?.top ?? Infinity) < window.innerHeight && (canvas ? isBlank(canvas) : below.length === 0),
      isOnPage: (place?.height ?? 0) > 0,
      error: [panel.state._pluginLoadError, ...(data?.errors ?? []).map((error) => error.message)].filter(Boolean).join('; '),
      isDrawn: canvas !== null,
      noData: hasValues(data?.series ?? []) ? null : below.join(' '),
      lines: below,
      rows: [...(element?.querySelectorAll('[role=row]') ?? [])].map((row) =>
        [...row.querySelectorAll('[role=gridcell],[role=columnheader]')].map(text)
      ),
    };
  });
}

Object.assign(window, { openDashboard, expandRows, countEvents, shownPanels });
