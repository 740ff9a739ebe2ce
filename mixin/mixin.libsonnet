// The rules and dashboards as a monitoring mixin (https://monitoring.mixins.dev):
//
//   (import 'openim-exporter/mixin/mixin.libsonnet') { _config+:: { openim+: { busy_share: 0.6 } } }
//
// docs/prometheus.md explains the settings. Here, the dashboards follow only `selector` and `docs_url`: for dashboards with
// lines and colours at other thresholds, run mixin/generate.py.
local defaults = import 'config.json';

local replaced(text, pairs) = std.foldl(function(done, pair) std.strReplace(done, pair[0], pair[1]), pairs, text);

// The rules of a file in mixin/rules, where `<<name>>` is a setting's value, and `<<name%>>` that in percent.
local rules(text, config) =
  local shown(name) =
    if std.isString(config[name]) then [['<<%s>>' % name, config[name]]]
    else [['<<%s>>' % name, '%g' % config[name]], ['<<%s%%>>' % name, '%g' % (100 * config[name])]];
  std.parseYaml(replaced(text, std.flatMap(shown, std.objectFields(defaults))));

// A dashboard of grafana/dashboards, with these settings in place of the defaults.
local dashboard(text, config) =
  local inner(quoted) = std.substr(quoted, 1, std.length(quoted) - 2);
  std.parseJson(replaced(text, [[inner(std.escapeStringJson(each[name])) for each in [defaults, config]] for name in ['selector', 'docs_url']]));

{
  _config+:: { openim+: defaults },

  local config = $._config.openim,
  local unknown = std.setDiff(std.objectFields(config), std.objectFields(defaults)),
  assert unknown == [] : 'unknown settings: ' + std.join(', ', unknown),

  prometheusAlerts+:: { groups+: rules(importstr 'rules/alerts.yml', config).groups },
  prometheusRules+:: { groups+: rules(importstr 'rules/recording.yml', config).groups },
  grafanaDashboards+:: {
    'openim-capacity.json': dashboard(importstr '../grafana/dashboards/capacity.json', config),
    'openim-community.json': dashboard(importstr '../grafana/dashboards/community.json', config),
    'openim-exporter-health.json': dashboard(importstr '../grafana/dashboards/exporter-health.json', config),
    'openim-forwarding.json': dashboard(importstr '../grafana/dashboards/forwarding.json', config),
    'openim-group.json': dashboard(importstr '../grafana/dashboards/group.json', config),
    'openim-overview.json': dashboard(importstr '../grafana/dashboards/overview.json', config),
  },
}
