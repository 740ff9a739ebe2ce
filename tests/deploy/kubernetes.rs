//! The objects of the Kubernetes manifest belong together.

use serde_json::{Value, json};

use crate::{read, yaml};

/// Parts of the manifest that do not match.
fn misfits(documents: &[Value]) -> Vec<&'static str> {
    let of = |kind: &str| documents.iter().find(|found| found["kind"] == kind).unwrap_or(&Value::Null);
    let (set, service, monitor) = (of("StatefulSet"), of("Service"), of("ServiceMonitor"));
    let budget = &of("PodDisruptionBudget")["spec"];
    let pod = &set["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    let apart = &pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
    let ports = &pod["spec"]["containers"][0]["ports"];
    let relabelings = monitor["spec"]["endpoints"][0]["relabelings"].as_array();
    let own_series = json!({"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"});
    let selected = |selector: &Value, labels: &Value| selector.is_object() && selector == labels;
    let parts = [
        (documents.len() == 4, "four objects"),
        (set["spec"]["updateStrategy"]["type"] == "RollingUpdate", "one after the other"),
        (selected(&set["spec"]["selector"]["matchLabels"], labels), "the set's pods"),
        (set["spec"]["serviceName"] == service["metadata"]["name"], "the set's service"),
        (selected(&budget["selector"]["matchLabels"], labels) && budget["maxUnavailable"] == 1, "the budget's pods"),
        (selected(&apart["podAffinityTerm"]["labelSelector"]["matchLabels"], labels), "the pods on different nodes"),
        (selected(&service["spec"]["selector"], labels), "the service's pods"),
        (
            selected(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]),
            "the monitor's service",
        ),
        (monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][1]["name"], "the monitor's port"),
        (
            [0, 1].iter().all(|port| service["spec"]["ports"][port]["targetPort"] == ports[port]["name"]),
            "the service's ports",
        ),
        (relabelings.is_some_and(|all| all.contains(&own_series)), "the same series after a rollout"),
    ];
    parts.into_iter().chain(parts_of_pods(set)).filter(|(fits, _)| !fits).map(|(_, what)| what).collect()
}

/// Parts of the pods, and whether they match.
fn parts_of_pods(set: &Value) -> [(bool, &'static str); 8] {
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mount = &container["volumeMounts"][0];
    let variable = |name: &str| {
        let variables = container["env"].as_array()?;
        let name = format!("OPENIM_EXPORTER_{name}");
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    };
    let port = format!(":{}", container["ports"][1]["containerPort"]);
    let connections = variable("WEB_MAX_CONNECTIONS").and_then(|most| most.parse::<usize>().ok());
    let delay = variable("WEB_DRAIN_DELAY").and_then(|delay| delay.strip_suffix('s')?.parse::<u64>().ok());
    let end = delay.zip(pod["terminationGracePeriodSeconds"].as_u64());
    let probes = ["readinessProbe", "livenessProbe"].map(|probe| &container[probe]["httpGet"]["port"]);
    [
        (variable("STORAGE_PATH").is_some_and(|path| mount["mountPath"] == path), "the state's place"),
        (mount["name"] == set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "a volume for each pod"),
        // Otherwise callbacks could use up the connections for probes and scrapes.
        (variable("WEB_TELEMETRY_ADDRESS") == Some(&port), "the telemetry's address"),
        // Memory per connection and request over HTTP/2 from docs/limits.md, and 256 MiB for everything else.
        (connections.is_some_and(|most| most * (80 + 85) / 1024 + 256 <= 512), "what connections can take"),
        (container["resources"]["limits"]["memory"] == "512Mi", "the memory"),
        (probes.iter().all(|port| **port == container["ports"][1]["name"]), "the probes' port"),
        // All nodes need some time to learn that the pod is ending, and then the drain takes 4 s.
        (end.is_some_and(|(delay, grace)| delay > 2 && delay + 4 < grace), "the time to end"),
        (pod["securityContext"]["runAsNonRoot"] == true, "not root"),
    ]
}

#[test]
#[ignore = "needs python3-yaml"]
fn the_parts_of_the_kubernetes_manifest_match() {
    let text = read("deploy/kubernetes.yml");
    assert_eq!(misfits(&yaml(&text)), [""; 0]);
    for (old, new, what) in [
        ("type: RollingUpdate", "type: OnDelete", "one after the other"),
        ("serviceName: openim-exporter", "serviceName: openim", "the set's service"),
        ("maxUnavailable: 1", "maxUnavailable: 2", "the budget's pods"),
        (
            "labelSelector: {matchLabels: {app.kubernetes.io/name",
            "labelSelector: {matchLabels: {app",
            "the pods on different nodes",
        ),
        ("        name: state\n", "        name: data\n", "a volume for each pod"),
        ("WEB_DRAIN_DELAY, value: 5s", "WEB_DRAIN_DELAY, value: 16s", "the time to end"),
        ("- port: metrics", "- port: http", "the monitor's port"),
        ("targetPort: metrics", "targetPort: http", "the service's ports"),
        ("value: \":10007\"", "value: \"0.0.0.0:10007\"", "the telemetry's address"),
        ("value: \"1000\"", "value: \"10000\"", "what connections can take"),
        ("memory: 512Mi", "memory: 256Mi", "the memory"),
        ("/-/healthy, port: metrics", "/-/healthy, port: http", "the probes' port"),
        ("[__meta_kubernetes_pod_name]", "[__meta_kubernetes_pod_uid]", "the same series after a rollout"),
        ("mountPath: /data", "mountPath: /state", "the state's place"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "not root"),
    ] {
        assert_eq!(misfits(&yaml(&text.replacen(old, new, 1))), [what]);
    }
}
