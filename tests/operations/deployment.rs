//! `compose.yaml`, `kubernetes.yaml`, `uw-websocket.service`, `redis-users.acl`: they agree with the image and with the settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use uw_websocket::exit::Exit;
use uw_websocket::settings::{Preset, Secrecy, Settings, Sources, VARIABLES};
use uw_websocket_actors::acl::rules;

use super::{file, items, text, yaml};

/// The words of an instruction of the Dockerfile, the last one of its kind.
fn instruction(name: &str) -> String {
    let text = file("Dockerfile").replace("\\\n", " ");
    let line = text.lines().rev().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in the Dockerfile")).trim().to_owned()
}

/// The port of the image.
pub(crate) fn port() -> String {
    instruction("EXPOSE")
}

fn spool_dir() -> String {
    let dir = instruction("VOLUME");
    let variables = instruction("ENV");
    assert!(variables.split_whitespace().any(|word| word == format!("SPOOL_DIR={dir}")), "{variables}");
    dir
}

/// The value of a variable of the image.
fn image_variable(name: &str) -> String {
    let variables = instruction("ENV");
    let value = variables.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {variables}")).to_owned()
}

#[test]
fn the_health_check_of_the_image_asks_where_no_other_client_comes() {
    assert!(instruction("HEALTHCHECK").ends_with(r#"CMD ["/usr/local/bin/uw-websocket", "healthcheck"]"#));
    let probes: SocketAddr = image_variable("PROBE_ADDR").parse().unwrap();
    assert!(probes.ip().is_loopback(), "{probes}");
    assert_eq!(image_variable("HTTP_ADDR"), format!("0.0.0.0:{}", port()));
    assert_ne!(probes.port().to_string(), port());
}

#[test]
fn prometheus_asks_by_a_name_that_is_allowed() {
    let targets = &yaml("config/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"];
    let (name, asked) = text(&targets[0]).split_once(':').unwrap();
    assert_eq!(asked, port());
    assert_eq!(yaml("config/compose.yaml")["services"][name]["environment"]["HTTP_ALLOWED_HOSTS"], name);
}

/// Loads what the service would be told; secrets come from files of the test in place of those that are mounted.
#[track_caller]
fn check_settings(variables: &BTreeMap<String, String>, mounted: &dyn Fn(&str) -> bool) -> Settings {
    let secrets = tempfile::tempdir().unwrap();
    let mut environment = vec![(OsString::from("ENABLE_WEBSOCKET"), OsString::from("true"))];
    for (name, value) in variables {
        let twin = name.strip_suffix("_FILE").and_then(|name| VARIABLES.iter().find(|v| v.name == name));
        let known =
            VARIABLES.iter().any(|variable| variable.name == name && variable.secrecy == Secrecy::Plain);
        assert!(known || twin.is_some(), "{name} is no setting that may stand in the open");
        let value = if let Some(twin) = twin {
            assert!(mounted(value), "{value} is not mounted");
            let path = secrets.path().join(name);
            fs::write(
                &path,
                if twin.secrecy == Secrecy::SecretUrl { "redis://uw:secret@redis:6379/0" } else { "t0ken" },
            )
            .unwrap();
            path.into_os_string()
        } else {
            value.into()
        };
        environment.push((name.into(), value));
    }
    let settings =
        Settings::load(&Sources { environment, dotenv: None, log_level: None, redis_url: None }).unwrap();
    // the files whose Redis is on another host have one without TLS, and say what that means
    let warnings: Vec<&str> = settings.warnings.iter().map(|warning| warning.variable.as_str()).collect();
    let expected: &[&str] = if variables.contains_key("REDIS_URL_FILE") { &["REDIS_URL"] } else { &[] };
    assert_eq!(warnings, expected, "{:?}", settings.warnings);
    settings
}

/// The settings of somebody who sets nothing but the token.
#[track_caller]
fn only_a_token() -> Settings {
    let token = BTreeMap::from([("UNUSUAL_WHALES_API_TOKEN_FILE".to_owned(), String::new())]);
    check_settings(&token, &|_| true)
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(text(value).strip_suffix('s').unwrap().parse().unwrap())
}

fn is_in(list: &Value, wanted: &str) -> bool {
    items(list).iter().any(|item| item == wanted)
}

#[test]
fn compose_runs_the_image_as_it_is_made() {
    let compose = yaml("config/compose.yaml");
    let service = &compose["services"]["uw-websocket"];
    let variables: BTreeMap<String, String> = serde_json::from_value(service["environment"].clone()).unwrap();
    let mounted = |path: &str| {
        let name = path.strip_prefix("/run/secrets/").unwrap();
        is_in(&service["secrets"], name) && compose["secrets"][name]["file"].is_string()
    };
    let settings = check_settings(&variables, &mounted);
    assert!(seconds(&service["stop_grace_period"]) > settings.shutdown_timeout);
    assert!(
        is_in(&service["volumes"], &format!("spool:{}", spool_dir()))
            && compose["volumes"].get("spool").is_some()
    );
    assert!(is_in(&service["ports"], &format!("127.0.0.1:{port}:{port}", port = port())));
    assert!(settings.http.probe_addr.is_some_and(|probes| probes.ip().is_loopback()));
    assert_eq!(service["depends_on"]["redis"]["condition"], "service_healthy");
    for (name, user) in [("uw-websocket", "65532:65532"), ("redis", "redis")] {
        let service = &compose["services"][name];
        assert_eq!((&service["read_only"], &service["user"]), (&true.into(), &user.into()), "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert!(is_in(&service["cap_drop"], "ALL"), "{name}");
    }
    let redis = &compose["services"]["redis"];
    assert!(is_in(&redis["volumes"], "./redis.conf:/usr/local/etc/redis/redis.conf:ro"));
    assert!(is_in(&redis["command"], "/usr/local/etc/redis/redis.conf"));
    assert!(is_in(&redis["command"], "/run/secrets/redis_users") && is_in(&redis["secrets"], "redis_users"));
    // readers reach Redis, over loopback or a network of their own, and not the HTTP server of the service
    assert!(is_in(&redis["ports"], "127.0.0.1:6379:6379"));
    assert!(is_in(&redis["networks"], "default") && is_in(&redis["networks"], "readers"));
    assert!(compose["networks"].get("readers").is_some() && service.get("networks").is_none());
}

/// What a reader may do: read what is under the prefix, and follow the streams of the default channels and the ledger as a
/// group. A group could be made on any key that is missing, the lease included, so it is granted for these keys alone.
fn reader_rules() -> String {
    let Preset::Value(preset) = VARIABLES.iter().find(|variable| variable.name == "CHANNELS").unwrap().preset
    else {
        panic!("CHANNELS has no default");
    };
    let channels = preset.split(',').chain(["gaps"]);
    let streams: Vec<String> = channels.map(|channel| format!("~uw:ws:{channel}*")).collect();
    format!(
        "resetkeys %R~uw:ws:* %R~uw:rest:* -@all +get +hget +hgetall +hkeys +hmget +ping +scan +select +strlen +type \
         +unwatch +xinfo|groups +xinfo|stream +xlen +xrange +xread +xrevrange \
         ({} -@all +xack +xautoclaim +xgroup|create +xpending +xreadgroup)",
        streams.join(" ")
    )
}

#[test]
fn the_users_of_compose_have_their_rights_and_no_others() {
    let (service, reader) = (rules("uw"), reader_rules());
    // `default` keeps its rights, and nobody can be it: Redis loads its append-only file as this user, and a Redis without
    // the mend of 2025 would refuse every transaction in it, which is all that the service writes. Nobody has
    // `+@connection`: CLIENT PAUSE and CLIENT KILL are in it.
    let expected = format!(
        "user default off ~* &* +@all\n\
         user health on nopass resetkeys -@all +ping\n\
         user fetcher on >CHOOSE-ANOTHER-PASSWORD resetkeys ~uw:rest:* -@all +@read -@dangerous +client|getname \
         +client|id +client|setname +echo +hset +ping +select +xadd\n\
         user reader on >CHOOSE-A-READER-PASSWORD {reader}\n\
         user uw on >CHOOSE-A-PASSWORD {service}\n"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/redis-users.acl");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, expected).unwrap();
    } else {
        assert_eq!(file("config/redis-users.acl"), expected, "UPDATE_DOCS=1 rewrites it");
    }
}

/// The documents of the manifest by their kind.
fn manifest() -> BTreeMap<String, Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&file("config/kubernetes.yaml")).unwrap();
    documents.into_iter().map(|document| (text(&document["kind"]).to_owned(), document)).collect()
}

#[test]
fn kubernetes_runs_the_image_as_it_is_made() {
    let manifest = manifest();
    let deployment = &manifest["Deployment"]["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&1.into(), &"Recreate".into()));
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    let variables = items(&container["env"]).iter();
    let variables =
        variables.map(|pair| (text(&pair["name"]).to_owned(), text(&pair["value"]).to_owned())).collect();
    let mounts = items(&container["volumeMounts"]);
    let volume_at = |path: &str| {
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path)?;
        items(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"])
    };
    let mounted = |path: &str| {
        let (folder, key) = path.rsplit_once('/').unwrap();
        let secret = &volume_at(folder).unwrap()["secret"]["secretName"];
        *secret == manifest["Secret"]["metadata"]["name"] && manifest["Secret"]["stringData"][key].is_string()
    };
    let settings = check_settings(&variables, &mounted);
    assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(settings.shutdown_timeout.as_secs()));
    let claim = &volume_at(&spool_dir()).unwrap()["persistentVolumeClaim"]["claimName"];
    assert_eq!(*claim, manifest["PersistentVolumeClaim"]["metadata"]["name"]);
    let size = text(&manifest["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"]);
    let size: u64 = size.strip_suffix("Gi").unwrap().parse().unwrap();
    assert!(size << 30 > settings.actors.spool.max_bytes, "{size}");
    let probes = settings.http.probe_addr.unwrap();
    assert_eq!(
        (container["ports"][1]["name"].as_str(), &container["ports"][1]["containerPort"]),
        (Some("probes"), &probes.port().into())
    );
    assert!(!probes.ip().is_loopback(), "the kubelet asks from outside of the pod");
    assert_eq!(manifest["Service"]["metadata"]["name"], settings.http.allowed_hosts[0]);
}

#[test]
fn kubernetes_asks_and_confines_the_container() {
    let manifest = manifest();
    let pod = &manifest["Deployment"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let (port, paths) = (port(), uw_websocket::http::PATHS);
    assert_eq!(container["ports"][0]["containerPort"].to_string(), port);
    assert_eq!(manifest["Service"]["spec"]["ports"][0]["port"].to_string(), port);
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "probes" }));
        assert!(paths.iter().any(|(known, _)| *known == path));
    }
    assert_eq!((&pod["restartPolicy"], &pod["enableServiceLinks"]), (&"Always".into(), &false.into()));
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert!(container["resources"]["limits"]["memory"].is_string());
    let labels = &manifest["Deployment"]["spec"]["template"]["metadata"]["labels"];
    assert_eq!(manifest["Service"]["spec"]["selector"], *labels);
    assert_eq!(manifest["Deployment"]["spec"]["selector"]["matchLabels"], *labels);
}

#[test]
fn kubernetes_lets_nothing_through_that_the_pod_does_not_need() {
    let manifest = manifest();
    let policy = &manifest["NetworkPolicy"]["spec"];
    let deployment = &manifest["Deployment"]["spec"]["template"];
    assert_eq!(policy["podSelector"]["matchLabels"], deployment["metadata"]["labels"]);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    // the metrics, for Prometheus; the node asks for the probes, and is always let through
    let [metrics] = items(&policy["ingress"]) else { panic!("one rule: {}", policy["ingress"]) };
    assert_eq!(metrics["ports"], json!([{ "protocol": "TCP", "port": "http" }]));
    let [prometheus] = items(&metrics["from"]) else { panic!("one source: {metrics}") };
    assert!(prometheus["podSelector"]["matchLabels"].is_object(), "{prometheus}");
    // DNS, Redis and the feed: each to a place of its own
    let egress = items(&policy["egress"]);
    let ports: Vec<Vec<String>> = egress
        .iter()
        .map(|rule| items(&rule["ports"]).iter())
        .map(|ports| ports.map(|port| format!("{}/{}", text(&port["protocol"]), port["port"])).collect())
        .collect();
    let redis = url::Url::parse(text(&manifest["Secret"]["stringData"]["redis_url"])).unwrap();
    let redis = format!("TCP/{}", redis.port().unwrap());
    let feed = only_a_token().actors.feed.url.port_or_known_default().unwrap();
    assert_eq!(ports, [vec!["UDP/53".into(), "TCP/53".into()], vec![redis], vec![format!("TCP/{feed}")]]);
    for (rule, selector) in egress.iter().zip(["podSelector", "podSelector", "ipBlock"]) {
        let [to] = items(&rule["to"]) else { panic!("one place: {rule}") };
        assert!(to[selector].is_object(), "{rule}");
    }
    // the internet, and no neighbour
    let block = &egress[2]["to"][0]["ipBlock"];
    assert_eq!(block["cidr"], "0.0.0.0/0");
    for neighbours in ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"] {
        assert!(is_in(&block["except"], neighbours), "{neighbours}");
    }
    // what the service created keeps its mode
    assert_eq!(deployment["spec"]["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch");
}

/// The values of a key of the unit.
fn unit_values(unit: &str, key: &str) -> Vec<String> {
    let values = unit.lines().filter_map(|line| line.split_once('=').filter(|(name, _)| *name == key));
    values.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn systemd_stops_and_restarts_the_service_as_it_ends() {
    let unit = file("config/uw-websocket.service");
    let only = |key: &str| {
        let values = unit_values(&unit, key);
        let [value] = values.as_slice() else { panic!("{key}: {values:?}") };
        value.clone()
    };
    let settings = only_a_token();
    assert!(seconds(&only("TimeoutStopSec").into()) > settings.shutdown_timeout);
    let incurable = [Exit::WrongCommandLine, Exit::TokenRefused, Exit::BadSettings];
    let incurable = incurable.map(|exit| (exit as u8).to_string()).join(" ");
    assert_eq!((only("Restart"), only("RestartPreventExitStatus")), ("on-failure".to_owned(), incurable));
    let state = format!("/var/lib/{}", only("StateDirectory"));
    let guide = file("docs/deployment.md");
    for told in
        [format!("SPOOL_DIR={state}/spool"), only("WorkingDirectory"), only("ExecStart"), only("User")]
    {
        assert!(guide.contains(&told), "docs/deployment.md does not say {told}");
    }
    for (key, value) in
        [("ProtectSystem", "strict"), ("NoNewPrivileges", "yes"), ("CapabilityBoundingSet", "")]
    {
        assert_eq!(only(key), value, "{key}");
    }
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uw-websocket.service");
    let unit = file("config/uw-websocket.service");
    let program = unit.replace("/usr/local/bin/uw-websocket", env!("CARGO_BIN_EXE_uw-websocket"));
    fs::write(&path, program).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        eprintln!("skipped: systemd-analyze is not installed, the unit is not verified");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("uw-websocket.service")).collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
}
