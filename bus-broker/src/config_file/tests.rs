//! The file is read whole, or its first mistake is named; what is written is read back.

mod access;
mod bridge;
mod reference;

use super::*;

#[test]
fn whole_file_is_read() {
    let config = parse_config(
        "name = \"lab\"\nlisten = [\"local:\", \"tcp://127.0.0.1:4550\"]\ninsecure = true\n\
         grace_max = \"1m\"\nshared_memory = false\nwaiting = \"park\"\nthrottle = false\n[defaults]\nqueue_mode = \"0770\"\ntopic_mode = \"755\"\n\
         service_mode = \"0o733\"\n[limits]\nsessions = 7\nlanes = 9\nlanes_per_user = 8\nparked_bytes = \"2MiB\"\n",
    )
    .expect("a good file");
    assert_eq!(config.name, "lab");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.grace_max, Duration::from_secs(60));
    assert_eq!((config.shared_memory, config.waiting), (false, Waiting::Park));
    assert_eq!((config.throttle, config.lanes_max, config.lanes_per_user_max), (false, 9, 8));
    let router = &config.router;
    assert_eq!((router.queue_mode, router.topic_mode, router.service_mode), (0o770, 0o755, 0o733));
    assert_eq!((router.sessions_max, router.parked_bytes_max), (7, 2 << 20));
    assert_eq!(parse_config(&render_config(&config)), Ok(config));
}

#[test]
fn certificates_are_read() {
    let config = parse_config(
        "[tls]\ncertificate = \"/a/b.pem\"\nkey = \"/a/b.key\"\nclient_authority = \"ca\"\n\
         client_certificates = \"optional\"\n[limits]\nqueues = 3\n",
    )
    .expect("a good file");
    let files = config.tls.clone().expect("a table");
    assert_eq!(
        (files.certificate.to_str(), files.key.to_str()),
        (Some("/a/b.pem"), Some("/a/b.key"))
    );
    assert_eq!(files.client_authority.as_deref(), Some(std::path::Path::new("ca")));
    assert_eq!(files.client_certificates.to_string(), "optional");
    assert_eq!(parse_config(&render_config(&config)), Ok(config));
}

#[test]
fn empty_file_is_the_default() {
    let default = BrokerConfig::default();
    assert_eq!(parse_config(""), Ok(default.clone()));
    assert_eq!(parse_config(&render_config(&default)), Ok(default));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let check = |file: &str, line: usize, parts: &[&str]| {
        let error = parse_config(file).expect_err(file);
        assert_eq!(error.line(), line, "{file}: {error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{file}: {error} lacks `{part}`");
        }
    };
    check("name = \"a\"\nlisen = []", 2, &["`lisen`", "`listen`?"]);
    check("[limits]\nsesions = 3", 2, &["`sesions`", "[limits]", "`sessions`?"]);
    check("certificate = \"a\"", 1, &["`certificate`", "under [tls]"]);
    check("[tls]\nkey = \"a\"", 1, &["`certificate` is missing of [tls]"]);
    check("[tls]\ncertificate = \"a\"", 1, &["`key` is missing of [tls]"]);
    check("[tls]\ncertificate = 3", 2, &["`tls.certificate`", "the path of a file"]);
    check("[tls]\nclient_certificates = \"maybe\"", 2, &["\"optional\"", "\"maybe\""]);
    let asks =
        "name = \"a\"\n[tls]\ncertificate = \"a\"\nkey = \"b\"\nclient_certificates = \"required\"";
    check(asks, 2, &["`client_authority` is missing"]);
    check("xyzzy = 3", 1, &["`xyzzy`", "known are `name`"]);
    check("queues = 3", 1, &["`queues`", "under [limits]"]);
    check("[limits]\ninsecure = true", 2, &["`insecure`", "at the top"]);
    check("name = 5", 1, &["`name` must be a string", "the integer 5"]);
    check("listen = \"local:\"", 1, &["`listen`", "a list", "the string \"local:\""]);
    check("listen = [\n\"local:\",\n7]", 3, &["`listen`", "the integer 7"]);
    check("listen = [\"nats://h:1\"]", 1, &["`listen`", "`nats` is unknown"]);
    check("insecure = \"yes\"", 1, &["true or false", "\"yes\""]);
    check("waiting = \"sleep\"", 1, &["`waiting`", "\"adaptive\"", "\"sleep\""]);
    check("\n\ngrace_max = \"soon\"", 3, &["`grace_max`", "a duration"]);
    check("grace_max = \"1h\"", 1, &["at most \"5m\""]);
    check("[defaults]\nqueue_mode = 700", 2, &["`defaults.queue_mode`", "octal", "700"]);
    check("[defaults]\nqueue_mode = \"0888\"", 2, &["octal", "0888"]);
    check("[limits]\nqueues = -1", 2, &["`limits.queues`", "above 0", "-1"]);
    check("[limits]\nlanes = 5000", 2, &["`limits.lanes`", "at most 1024", "5000"]);
    check("[limits]\nparked_bytes = \"many\"", 2, &["a size"]);
    check("limits = 3", 1, &["a table", "[limits]"]);
    check("name = ", 1, &["not TOML"]);
    check("zzz = 1\nname = 5\n", 1, &["`zzz`"]);
    check("zzz = 1\n[limits]\nqueues = 1.5\nname = 3", 1, &["`zzz`"]);
}

#[test]
fn services_of_a_bridge_are_read_and_contradictions_named() {
    let read = |more: &str| {
        parse_config(&format!(
            "[[bridge]]\nname = \"b\"\nurl = \"tcp://127.0.0.1:4550\"\nlocal_prefix = \"site\"\n{more}"
        ))
    };
    let good =
        read("out_services = [\"calc.>\"]\nin_services = [\"jobs\"]\nservice_mode = \"733\"\n");
    let url = "tcp://127.0.0.1:4550".parse().expect("a URL");
    let pattern = |text: &str| bus_core::Pattern::new(text).expect("a pattern");
    let expected = crate::BridgeConfig::new("b", url).expect("a name").prefixes("site", "");
    let expected = expected.services_out(pattern("calc.>")).services_in(pattern("jobs"));
    let expected = expected.service_mode(0o733);
    assert_eq!(
        parse_config(&render_bridge(&expected)).expect("a good file").bridges,
        std::slice::from_ref(&expected)
    );
    assert_eq!(good.expect("a good file").bridges, [expected]);
    for (more, said) in [
        ("out_services = [\"a.*\", \"a.b\"]\n", "in common"),
        ("in_services = [\"$bus.>\"]\n", "not bridged"),
        ("in_services = [7]\n", "patterns of names"),
        ("service_mode = \"733\"\n", "in_services"),
    ] {
        let wrong = read(more).expect_err("is refused").to_string();
        assert!(wrong.contains(said), "{wrong}");
    }
}
