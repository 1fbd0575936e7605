//! Examples for the tests: what istiod sends for common objects, something with every field set, and things at random.

use mesh_types::{Identity, NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use crate::policy::{Action, Clause, Match, Rule, Scope, ServiceAccountMatch, StringMatch};
use crate::service::Scope as LbScope;
use crate::service::{
    HealthPolicy, IpFamilies, LoadBalancing, Mode, VirtualAddress, Visibility, WeightedWaypoint,
};
use crate::workload::{
    ApplicationTunnel, ApplicationTunnelProtocol, HealthStatus, Locality, NetworkMode, TunnelProtocol,
    WorkloadType,
};
use crate::{AppProtocol, Authorization, GatewayDestination, GatewayRef, Port, Ports, Service, Workload};

pub(crate) fn identity(namespace: &str, account: &str) -> Identity {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
        .parse()
        .unwrap()
}

pub(crate) fn exact(s: &str) -> StringMatch {
    StringMatch::Exact(s.into())
}

/// A rule with one clause with one match.
pub(crate) fn rule(m: Match) -> Rule {
    Rule {
        clauses: vec![Clause { matches: vec![m] }],
    }
}

pub(crate) fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Authorization {
    Authorization {
        name: name.parse().unwrap(),
        scope: Scope::Namespace,
        action,
        rules,
        dry_run: false,
    }
}

/// How Istio encodes STRICT mutual TLS: refuse whoever has no principal.
pub(crate) fn strict() -> Authorization {
    let unauthenticated = Match {
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    };
    Authorization {
        scope: Scope::WorkloadSelector,
        ..policy(
            "istio-system/istio_converted_static_strict",
            Action::Deny,
            vec![rule(unauthenticated)],
        )
    }
}

/// A Pod in the mesh that serves two services.
pub(crate) fn pod() -> Workload {
    let port = |service_port, target_port| Port {
        service_port,
        target_port: Some(target_port),
        app_protocol: AppProtocol::Unknown,
    };
    let uid = WorkloadUid::of_pod("Kubernetes", "shop", "web-6d4b75cb6d-abcde");
    Workload {
        addresses: vec!["10.55.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        tunnel_protocol: TunnelProtocol::Hbone,
        node: "vec-1".into(),
        cluster_id: "Kubernetes".into(),
        canonical_name: "web".into(),
        canonical_revision: "v1".into(),
        workload_type: WorkloadType::Pod,
        workload_name: "web".into(),
        authorization_policies: vec!["shop/allow-mixed".parse().unwrap()],
        services: [
            (
                "shop/web.shop.svc.cluster.local",
                vec![port(80, 8080), port(9000, 9090), port(3306, 3306)],
            ),
            ("shop/web-headless.shop.svc.cluster.local", vec![port(8080, 8080)]),
        ]
        .into_iter()
        .map(|(name, ports)| (name.parse().unwrap(), Ports::from(ports)))
        .collect(),
        locality: Locality {
            region: "eu".into(),
            zone: "eu-a".into(),
            subzone: "rack1".into(),
        },
        ..Workload::new(uid, "web-6d4b75cb6d-abcde", identity("shop", "web"))
    }
}

/// Nothing has its default value.
pub(crate) fn full_workload() -> Workload {
    Workload {
        identity: "spiffe://other.domain/ns/shop/sa/web".parse().unwrap(),
        network: "net-1".into(),
        hostname: "web.example.com".into(),
        network_mode: NetworkMode::HostNetwork,
        status: HealthStatus::Unhealthy,
        waypoint: Some(waypoint()),
        network_gateway: Some(GatewayRef {
            destination: GatewayDestination::Address(mesh_types::NetworkAddress::new(
                "net-2",
                "2001:db8::7".parse().unwrap(),
            )),
            hbone_port: 15443,
            fail_open: true,
        }),
        native_tunnel: true,
        application_tunnel: Some(ApplicationTunnel {
            protocol: ApplicationTunnelProtocol::Proxy,
            port: Some(15088),
        }),
        workload_type: WorkloadType::CronJob,
        capacity: 5,
        ..pod()
    }
}

pub(crate) fn waypoint() -> GatewayRef {
    GatewayRef {
        destination: GatewayDestination::Hostname(NamespacedHostname::new(
            "bank",
            "wp.bank.svc.cluster.local",
        )),
        hbone_port: 15008,
        fail_open: false,
    }
}

/// Nothing has its default value.
pub(crate) fn full_service() -> Service {
    let name = NamespacedHostname::new("shop", "web.shop.svc.cluster.local");
    Service {
        addresses: vec![
            VirtualAddress::single("", "10.96.1.1".parse().unwrap()),
            VirtualAddress::range("net-1", "198.51.100.0/24".parse().unwrap()),
            VirtualAddress::single("net-1", "2001:2::1".parse().unwrap()),
        ],
        ports: Ports::from(vec![
            Port {
                service_port: 80,
                target_port: None,
                app_protocol: AppProtocol::Http11,
            },
            Port {
                service_port: 5432,
                target_port: Some(5433),
                app_protocol: AppProtocol::Tcp,
            },
        ]),
        subject_alt_names: vec!["spiffe://example.com/api".into()],
        waypoint: Some(waypoint()),
        weighted_waypoints: vec![WeightedWaypoint {
            gateway: waypoint(),
            weight: 90,
        }],
        load_balancing: LoadBalancing {
            preference: vec![LbScope::Network, LbScope::Region, LbScope::Zone],
            mode: Mode::Failover,
            health: HealthPolicy::AllowAll,
        },
        ip_families: IpFamilies::Dual,
        canonical: true,
        ingress_use_waypoint: true,
        visibility: Visibility::Namespace,
        ..Service::new(name, "web")
    }
}

/// Every kind of match, on both sides.
pub(crate) fn full_policy() -> Authorization {
    let account = |namespace: &str, service_account: &str| ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: service_account.into(),
    };
    let everything = Match {
        namespaces: vec![exact("bank"), StringMatch::Prefix("ba".into())],
        not_namespaces: vec![StringMatch::Suffix("evil".into())],
        principals: vec![exact("cluster.local/ns/bank/sa/ledger"), StringMatch::Presence],
        not_principals: vec![exact("cluster.local/ns/bad/sa/x")],
        service_accounts: vec![account("bank", "ledger")],
        not_service_accounts: vec![account("bad", "x")],
        source_ips: vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()],
        not_source_ips: vec!["2001:db8::/32".parse().unwrap()],
        destination_ips: vec!["10.1.2.3/8".parse().unwrap()],
        not_destination_ips: vec!["10.9.0.0/16".parse().unwrap()],
        destination_ports: vec![8080, 9090],
        not_destination_ports: vec![22],
    };
    Authorization {
        scope: Scope::WorkloadSelector,
        dry_run: true,
        ..policy(
            "shop/allow-mixed",
            Action::Deny,
            vec![rule(everything), Rule::default(), rule(Match::default())],
        )
    }
}

/// A small world, so that random policies and random connections meet.
pub(crate) struct Dice(pub(crate) fastrand::Rng);

impl Dice {
    pub(crate) fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())].clone()
    }

    pub(crate) fn some<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.0.usize(..=most);
        (0..count).map(|_| one(self)).collect()
    }

    /// A list that is empty three times out of four.
    pub(crate) fn rarely<T>(&mut self, one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        match self.0.u8(..4) {
            0 => self.some(2, one),
            _ => Vec::new(),
        }
    }

    pub(crate) fn namespace(&mut self) -> &'static str {
        self.of(&["shop", "bank", "ban", "shopping"])
    }

    pub(crate) fn account(&mut self) -> &'static str {
        self.of(&["web", "ledger", "default"])
    }

    pub(crate) fn identity(&mut self) -> Identity {
        let domain = self.of(&["cluster.local", "other.domain"]);
        let (namespace, account) = (self.namespace(), self.account());
        format!("spiffe://{domain}/ns/{namespace}/sa/{account}")
            .parse()
            .unwrap()
    }

    pub(crate) fn ip(&mut self) -> std::net::IpAddr {
        let (a, b) = (self.0.u8(..3), self.0.u8(..3));
        match self.0.u8(..4) {
            0 => format!("fd00:{a}::{b}"),
            1 => format!("::ffff:10.{a}.0.{b}"),
            _ => format!("10.{a}.0.{b}"),
        }
        .parse()
        .unwrap()
    }

    pub(crate) fn port(&mut self) -> u16 {
        self.of(&[80, 443, 8080])
    }

    pub(crate) fn range(&mut self) -> ipnet::IpNet {
        let ip = self.ip().to_canonical();
        let length = match ip.is_ipv4() {
            true => self.of(&[0, 8, 16, 31, 32]),
            false => self.of(&[0, 32, 64, 128]),
        };
        ipnet::IpNet::new(ip, length).unwrap()
    }

    fn string(&mut self, text: &str) -> StringMatch {
        let at = self.0.usize(1..text.len());
        match self.0.u8(..6) {
            0 => StringMatch::Presence,
            1 => StringMatch::Prefix(text[..at].into()),
            2 => StringMatch::Suffix(text[at..].into()),
            _ => StringMatch::Exact(text.into()),
        }
    }

    fn matches(&mut self) -> Match {
        let namespace = |d: &mut Self| {
            let text = d.namespace();
            d.string(text)
        };
        let principal = |d: &mut Self| {
            let text = d.identity().principal();
            d.string(&text)
        };
        let account = |d: &mut Self| ServiceAccountMatch {
            namespace: d.namespace().into(),
            service_account: d.account().into(),
        };
        Match {
            namespaces: self.rarely(namespace),
            not_namespaces: self.rarely(namespace),
            principals: self.rarely(principal),
            not_principals: self.rarely(principal),
            service_accounts: self.rarely(account),
            not_service_accounts: self.rarely(account),
            source_ips: self.rarely(Self::range),
            not_source_ips: self.rarely(Self::range),
            destination_ips: self.rarely(Self::range),
            not_destination_ips: self.rarely(Self::range),
            destination_ports: self.rarely(Self::port),
            not_destination_ports: self.rarely(Self::port),
        }
    }

    pub(crate) fn policy(&mut self, name: NamespacedName) -> Authorization {
        Authorization {
            name,
            scope: self.of(&[Scope::Global, Scope::Namespace, Scope::WorkloadSelector]),
            action: self.of(&[Action::Allow, Action::Deny]),
            rules: self.some(3, |d| Rule {
                clauses: d.some(3, |d| Clause {
                    matches: d.some(3, Self::matches),
                }),
            }),
            dry_run: self.0.u8(..4) == 0,
        }
    }

    fn text(&mut self) -> Strng {
        self.of(&["", "a", "b.c"]).into()
    }

    fn gateway(&mut self) -> Option<GatewayRef> {
        let destination = match self.0.u8(..3) {
            0 => return None,
            1 => GatewayDestination::Hostname(NamespacedHostname::new(self.text(), "wp")),
            _ => GatewayDestination::Address(mesh_types::NetworkAddress::new(self.text(), self.ip())),
        };
        Some(GatewayRef {
            destination,
            hbone_port: self.0.u16(1..),
            fail_open: self.0.bool(),
        })
    }

    fn ports(&mut self) -> Ports {
        let protocols = [
            AppProtocol::Unknown,
            AppProtocol::Http11,
            AppProtocol::Http2,
            AppProtocol::Grpc,
            AppProtocol::Tcp,
            AppProtocol::Tls,
            AppProtocol::GrpcWeb,
        ];
        let ports = self.some(3, |d| Port {
            service_port: d.0.u16(..),
            target_port: Some(d.0.u16(..)).filter(|p| *p != 0 && d.0.bool()),
            app_protocol: d.of(&protocols),
        });
        Ports::from(ports)
    }

    pub(crate) fn workload(&mut self) -> Workload {
        let tunnel = ApplicationTunnel {
            protocol: self.of(&[ApplicationTunnelProtocol::None, ApplicationTunnelProtocol::Proxy]),
            port: self.of(&[None, Some(15088)]),
        };
        let identity = self.identity();
        Workload {
            account_implied: identity.service_account() == "default" && self.0.bool(),
            addresses: self.some(3, |d| d.ip().to_canonical()),
            network: self.text(),
            hostname: self.text(),
            tunnel_protocol: self.of(&[TunnelProtocol::None, TunnelProtocol::Hbone]),
            network_mode: self.of(&[NetworkMode::Standard, NetworkMode::HostNetwork]),
            status: self.of(&[HealthStatus::Healthy, HealthStatus::Unhealthy]),
            waypoint: self.gateway(),
            network_gateway: self.gateway(),
            native_tunnel: self.0.bool(),
            application_tunnel: self.of(&[None, Some(tunnel)]),
            node: self.text(),
            cluster_id: self.text(),
            locality: Locality {
                region: self.text(),
                zone: self.text(),
                subzone: self.text(),
            },
            canonical_name: self.text(),
            canonical_revision: self.text(),
            workload_type: self.of(&[
                WorkloadType::Deployment,
                WorkloadType::CronJob,
                WorkloadType::Pod,
                WorkloadType::Job,
            ]),
            workload_name: self.text(),
            authorization_policies: self.some(2, |d| NamespacedName::new(d.namespace(), "p")),
            services: self
                .some(2, |d| (NamespacedHostname::new(d.namespace(), "h"), d.ports()))
                .into_iter()
                .collect(),
            capacity: self.of(&[0, 1, 7]),
            ..Workload::new(WorkloadUid::new("u"), self.text(), identity)
        }
    }

    pub(crate) fn service(&mut self) -> Service {
        let scopes = [
            LbScope::Region,
            LbScope::Zone,
            LbScope::Subzone,
            LbScope::Node,
            LbScope::Cluster,
            LbScope::Network,
        ];
        Service {
            addresses: self.some(3, |d| match d.0.bool() {
                true => VirtualAddress::single(d.text(), d.ip()),
                false => VirtualAddress::range(d.text(), d.range()),
            }),
            ports: self.ports(),
            subject_alt_names: self.some(2, |d| d.identity().to_string().into()),
            waypoint: self.gateway(),
            weighted_waypoints: self
                .some(2, |d| (d.gateway(), d.0.u32(..)))
                .into_iter()
                .filter_map(|(gateway, weight)| {
                    Some(WeightedWaypoint {
                        gateway: gateway?,
                        weight,
                    })
                })
                .collect(),
            load_balancing: LoadBalancing {
                preference: self.some(3, |d| d.of(&scopes)),
                mode: self.of(&[Mode::Any, Mode::Strict, Mode::Failover, Mode::Passthrough]),
                health: self.of(&[HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]),
            },
            ip_families: self.of(&[
                IpFamilies::Automatic,
                IpFamilies::V4Only,
                IpFamilies::V6Only,
                IpFamilies::Dual,
            ]),
            canonical: self.0.bool(),
            ingress_use_waypoint: self.0.bool(),
            visibility: self.of(&[Visibility::Public, Visibility::Namespace]),
            ..Service::new(
                NamespacedHostname::new(self.namespace(), "web.example"),
                self.text(),
            )
        }
    }
}
