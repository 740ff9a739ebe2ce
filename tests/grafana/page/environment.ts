// What Grafana itself sets up before it shows a dashboard.

import {
  createTheme,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  EventBusSrv,
  type FieldConfigPropertyItem,
  identityOverrideProcessor,
  LoadingState,
  numberOverrideProcessor,
  type PanelData,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import {
  config,
  setAppEvents,
  setDataSourceSrv,
  setPluginImportUtils,
  setRunRequest,
  setTemplateSrv,
} from '@grafana/runtime';
import { registerRuntimeDataSource, sceneGraph, sceneUtils } from '@grafana/scenes';
import { catchError, from, map, type Observable, of } from 'rxjs';

import type { Prometheus } from './prometheus';

const PROCESSORS: Record<string, FieldConfigPropertyItem['process']> = {
  color: identityOverrideProcessor,
  decimals: numberOverrideProcessor,
  description: stringOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  links: dataLinksOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  max: numberOverrideProcessor,
  min: numberOverrideProcessor,
  noValue: stringOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  unit: unitOverrideProcessor,
};

// An option of a field, which a dashboard's overrides may change.
export function option(path: string, process = identityOverrideProcessor, value?: unknown): FieldConfigPropertyItem {
  const editor = () => null;
  return {
    id: path,
    path,
    name: path,
    editor,
    override: editor,
    process,
    settings: {},
    shouldApply: () => true,
    defaultValue: value,
  } as unknown as FieldConfigPropertyItem;
}

// The data of a panel: that of all its queries, or the first error.
function run(source: Prometheus, request: any): Observable<PanelData> {
  const data = { request, timeRange: request.range };
  return from(source.query(request)).pipe(
    map((answer) => ({ ...data, state: LoadingState.Done, series: answer.data })),
    catchError((error) =>
      of({ ...data, state: LoadingState.Error, series: [], errors: [{ message: String(error.message ?? error) }] })
    )
  );
}

export async function setUp(source: Prometheus) {
  await initPluginTranslations('grafana-scenes');
  config.theme2 = createTheme({ colors: { mode: 'dark' } });
  setAppEvents(new EventBusSrv());
  setPluginImportUtils({ getPanelPluginFromCache: () => undefined, importPanelPlugin: missing } as any);
  setRunRequest(run as any);
  setTemplateSrv({
    getVariables: () => [],
    containsTemplate: (text?: string) => text?.includes('$') ?? false,
    updateTimeRange: () => undefined,
    replace: (text = '', scoped?: any, format?: any) =>
      scoped?.__sceneObject ? sceneGraph.interpolate(scoped.__sceneObject.value.valueOf(), text, scoped, format) : text,
  } as any);
  const settings = { ...source, uid: source.uid, name: 'Prometheus', type: 'prometheus', meta: source.meta };
  setDataSourceSrv({
    get: async () => source,
    getList: () => [settings],
    getInstanceSettings: () => settings,
  } as any);
  registerRuntimeDataSource({ dataSource: source });
  standardFieldConfigEditorRegistry.setInit(() =>
    Object.entries(PROCESSORS).map(([path, process]) => option(path, process))
  );
  standardEditorsRegistry.setInit(() => []);
  standardTransformersRegistry.setInit(() =>
    // Some have two names in this list.
    [...new Map(Object.values(standardTransformers).map((one) => [one.id, one])).values()].map(
      (transformation) => ({ id: transformation.id, name: transformation.name, transformation: async () => transformation }) as any
    )
  );
}

async function missing(id: string): Promise<never> {
  throw new Error(`panels of the type ${id} are not supported by tests/grafana/page/panels.tsx`);
}

export const { registerRuntimePanelPlugin } = sceneUtils;
