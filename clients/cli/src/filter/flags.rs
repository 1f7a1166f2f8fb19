//! The flags: a table, made into clap's arguments and read back in order.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{FilterError, Filters, tracker};
use crate::candidates;

/// How a flag takes its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// One value.
    Value(&'static str),
    /// None; `=true` is passed over.
    Nothing,
}

use Takes::{Nothing, Value};

struct Flag(&'static str, Option<char>, Takes, &'static str);

const HEADING: &str = "Filters";

/// All filter flags of Hubble 1.20, and some of our own.
const FLAGS: [Flag; 76] = [
    Flag(
        "not",
        None,
        Nothing,
        "Turn the next filter round: flows that match it are left out",
    ),
    Flag("uuid", None, Value("UUID"), "The flow with this uuid"),
    Flag("ip", None, Value("IP"), "Address or CIDR of either side"),
    Flag(
        "from-ip",
        None,
        Value("IP"),
        "Address or CIDR of the sender",
    ),
    Flag(
        "to-ip",
        None,
        Value("IP"),
        "Address or CIDR of the receiver",
    ),
    Flag(
        "snat-ip",
        None,
        Value("IP"),
        "Address or CIDR that the sender's was translated to",
    ),
    Flag("ipv4", Some('4'), Nothing, "IPv4 flows"),
    Flag("ipv6", Some('6'), Nothing, "IPv6 flows"),
    Flag("ip-version", None, Value("VERSION"), "none, v4 or v6"),
    Flag(
        "pod",
        None,
        Value("[NS/]NAME"),
        "Prefix of the name of either endpoint; namespace `default` if none is given",
    ),
    Flag(
        "from-pod",
        None,
        Value("[NS/]NAME"),
        "Prefix of the sender's name",
    ),
    Flag(
        "to-pod",
        None,
        Value("[NS/]NAME"),
        "Prefix of the receiver's name",
    ),
    Flag(
        "namespace",
        Some('n'),
        Value("NS"),
        "Namespace of either endpoint",
    ),
    Flag(
        "from-namespace",
        None,
        Value("NS"),
        "Namespace of the sender",
    ),
    Flag(
        "to-namespace",
        None,
        Value("NS"),
        "Namespace of the receiver",
    ),
    Flag(
        "all-namespaces",
        Some('A'),
        Nothing,
        "Endpoints of any namespace",
    ),
    Flag(
        "from-all-namespaces",
        None,
        Nothing,
        "Senders of any namespace",
    ),
    Flag(
        "to-all-namespaces",
        None,
        Nothing,
        "Receivers of any namespace",
    ),
    Flag(
        "label",
        Some('l'),
        Value("SELECTOR"),
        "Labels of either endpoint, such as app=web or reserved:world",
    ),
    Flag(
        "from-label",
        None,
        Value("SELECTOR"),
        "Labels of the sender",
    ),
    Flag(
        "to-label",
        None,
        Value("SELECTOR"),
        "Labels of the receiver",
    ),
    Flag(
        "service",
        None,
        Value("[NS/]NAME"),
        "Prefix of the name of either service",
    ),
    Flag(
        "from-service",
        None,
        Value("[NS/]NAME"),
        "Prefix of the sender's service",
    ),
    Flag(
        "to-service",
        None,
        Value("[NS/]NAME"),
        "Prefix of the receiver's service",
    ),
    Flag(
        "workload",
        None,
        Value("[KIND/]NAME"),
        "Workload of either endpoint",
    ),
    Flag(
        "from-workload",
        None,
        Value("[KIND/]NAME"),
        "Workload of the sender",
    ),
    Flag(
        "to-workload",
        None,
        Value("[KIND/]NAME"),
        "Workload of the receiver",
    ),
    Flag(
        "identity",
        None,
        Value("IDENTITY"),
        "Identity of either endpoint: a number or a reserved name",
    ),
    Flag(
        "from-identity",
        None,
        Value("IDENTITY"),
        "Identity of the sender",
    ),
    Flag(
        "to-identity",
        None,
        Value("IDENTITY"),
        "Identity of the receiver",
    ),
    Flag(
        "fqdn",
        None,
        Value("PATTERN"),
        "DNS name of either side, such as *.example.com",
    ),
    Flag(
        "from-fqdn",
        None,
        Value("PATTERN"),
        "DNS name of the sender",
    ),
    Flag(
        "to-fqdn",
        None,
        Value("PATTERN"),
        "DNS name of the receiver",
    ),
    Flag("cluster", None, Value("NAME"), "Cluster of either endpoint"),
    Flag("from-cluster", None, Value("NAME"), "Cluster of the sender"),
    Flag("to-cluster", None, Value("NAME"), "Cluster of the receiver"),
    Flag(
        "port",
        None,
        Value("PORT"),
        "Port of either side, its service (https), or a range (8000-8100)",
    ),
    Flag("from-port", None, Value("PORT"), "Port of the sender"),
    Flag("to-port", None, Value("PORT"), "Port of the receiver"),
    Flag(
        "protocol",
        None,
        Value("PROTOCOL"),
        "tcp, udp, icmp, sctp, dns, http, ...",
    ),
    Flag(
        "tcp-flags",
        None,
        Value("FLAGS"),
        "TCP flags, all of them set: syn,ack",
    ),
    Flag(
        "type",
        Some('t'),
        Value("TYPE[:SUBTYPE]"),
        "Type of event: capture, drop, l7, policy-verdict, trace[:to-endpoint, ...], trace-sock",
    ),
    Flag(
        "verdict",
        None,
        Value("VERDICT"),
        "FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED or TRANSLATED",
    ),
    Flag(
        "drop-reason-desc",
        None,
        Value("REASON"),
        "Why it was dropped, such as POLICY_DENIED",
    ),
    Flag(
        "traffic-direction",
        None,
        Value("DIRECTION"),
        "ingress or egress",
    ),
    Flag(
        "interface",
        None,
        Value("NAME"),
        "Interface where it was seen",
    ),
    Flag(
        "node-name",
        None,
        Value("PATTERN"),
        "Node where it was seen, such as k8s* or cluster/node*",
    ),
    Flag(
        "node-label",
        None,
        Value("SELECTOR"),
        "Labels of the node where it was seen",
    ),
    Flag("reply", None, Nothing, "Replies"),
    Flag("not-reply", None, Nothing, "What is no reply"),
    Flag("encrypted", None, Nothing, "Encrypted flows"),
    Flag("unencrypted", None, Nothing, "Flows that are not encrypted"),
    Flag(
        "http-status",
        None,
        Value("CODE"),
        "Status of the answer, such as 404 or 5+",
    ),
    Flag(
        "http-method",
        None,
        Value("METHOD"),
        "Method of the request",
    ),
    Flag("http-path", None, Value("REGEX"), "Path of the request"),
    Flag("http-url", None, Value("REGEX"), "URL of the request"),
    Flag(
        "http-header",
        None,
        Value("NAME:VALUE"),
        "Header of request or answer",
    ),
    Flag("trace-id", None, Value("ID"), "Trace id"),
    Flag(
        "ip-trace-id",
        None,
        Value("ID"),
        "Trace id in the IP options",
    ),
    Flag(
        "cel-expression",
        None,
        Value("CEL"),
        "Expression over the variable _flow",
    ),
    Flag(
        "allowlist",
        None,
        Value("JSON"),
        "FlowFilters as JSON, some of which must match",
    ),
    Flag(
        "denylist",
        None,
        Value("JSON"),
        "FlowFilters as JSON, none of which may match",
    ),
    Flag(
        "print-raw-filters",
        None,
        Nothing,
        "Print the filters and ask nobody",
    ),
    Flag(
        "dns-query",
        None,
        Value("REGEX"),
        "Name that was asked for (not in hubble)",
    ),
    Flag(
        "process",
        None,
        Value("NAME|PATH|PID"),
        "Process of either side: its executable's name or path, or its number (not in hubble)",
    ),
    Flag(
        "from-process",
        None,
        Value("NAME|PATH|PID"),
        "Process of the sender: its executable's name or path, or its number (not in hubble)",
    ),
    Flag(
        "to-process",
        None,
        Value("NAME|PATH|PID"),
        "Process of the receiver: its executable's name or path, or its number (not in hubble)",
    ),
    Flag(
        "unit",
        None,
        Value("UNIT"),
        "systemd unit of either side, such as nginx or session-2.scope (not in hubble)",
    ),
    Flag(
        "from-unit",
        None,
        Value("UNIT"),
        "systemd unit of the sender, such as nginx or session-2.scope (not in hubble)",
    ),
    Flag(
        "to-unit",
        None,
        Value("UNIT"),
        "systemd unit of the receiver, such as nginx or session-2.scope (not in hubble)",
    ),
    Flag(
        "container",
        None,
        Value("NAME"),
        "Container of either side (not in hubble)",
    ),
    Flag(
        "from-container",
        None,
        Value("NAME"),
        "Container of the sender (not in hubble)",
    ),
    Flag(
        "to-container",
        None,
        Value("NAME"),
        "Container of the receiver (not in hubble)",
    ),
    Flag(
        "user",
        None,
        Value("NAME|UID"),
        "User of either side: a name on the host, or a number (not in hubble)",
    ),
    Flag(
        "from-user",
        None,
        Value("NAME|UID"),
        "User of the sender: a name on the host, or a number (not in hubble)",
    ),
    Flag(
        "to-user",
        None,
        Value("NAME|UID"),
        "User of the receiver: a name on the host, or a number (not in hubble)",
    ),
];

/// The filter flags of a command line, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct FilterArgs {
    given: Vec<(&'static str, String)>,
}

impl FilterArgs {
    /// Only print the filters.
    pub(crate) fn only_print(&self) -> bool {
        self.given
            .iter()
            .any(|(name, _)| *name == "print-raw-filters")
    }

    /// The lists that the flags make.
    pub(crate) fn filters(&self) -> Result<Filters, FilterError> {
        tracker::filters(&self.given)
    }

    /// Reads flags from a line, as typed into `top`.
    pub(crate) fn from_line(line: &str) -> Result<Self, String> {
        let command =
            Self::augment_args(Command::new("filter").no_binary_name(true)).disable_help_flag(true);
        let matches = command
            .try_get_matches_from(line.split_whitespace())
            .map_err(|error| {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                first.trim_start_matches("error: ").to_owned()
            })?;
        Self::from_arg_matches(&matches).map_err(|error| error.to_string())
    }
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        FLAGS
            .iter()
            .fold(command, |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(Flag(name, short, takes, help): &Flag) -> Arg {
    let arg = Arg::new(*name)
        .long(*name)
        .help(*help)
        .help_heading(HEADING)
        .action(ArgAction::Append);
    let arg = match *short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match *takes {
        Value(value_name) => match candidates::of(name) {
            Some(completer) => arg.value_name(value_name).add(completer),
            None => arg.value_name(value_name),
        },
        Nothing => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
            .value_name("true")
            .value_parser(["true"]),
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for Flag(name, ..) in &FLAGS {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let indices = matches.indices_of(name).into_iter().flatten();
            given.extend(
                indices
                    .zip(values)
                    .map(|(index, value)| (index, *name, value)),
            );
        }
        given.sort_by_key(|(index, ..)| *index);
        let given = given
            .into_iter()
            .map(|(_, name, value)| (name, value.clone()));
        Ok(Self {
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
