// The type of our dashboards: Grafana's published types, with the options of each kind of panel.
import type {
  Dashboard,
  FieldConfig,
  Panel,
  RowPanel,
} from '@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';
import type { GraphFieldConfig } from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Heatmap } from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// The type of the JSON: string values instead of the members of a string enumeration.
type Plain<T> = T extends string
  ? `${T}`
  : T extends Array<infer Item>
    ? Array<Plain<Item>>
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

type Of<Kind extends string, Options, Custom> = Plain<Omit<Panel, 'type' | 'options' | 'fieldConfig'>> & {
  type: Kind;
  options: Plain<Options>;
  fieldConfig: {
    defaults: Plain<Omit<FieldConfig, 'custom'>> & { custom?: Plain<Custom> };
    overrides: [];
  };
};

export type OurPanel =
  | Of<'bargauge', BarGauge, never>
  | Of<'heatmap', Heatmap, never>
  | Of<'stat', Stat, never>
  | Of<'table', Table, never>
  | Of<'timeseries', TimeSeries, GraphFieldConfig>
  | (Plain<RowPanel> & { type: 'row' });

export type OurDashboard = Plain<Omit<Dashboard, 'panels'>> & { panels: OurPanel[] };
