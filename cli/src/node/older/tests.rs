use super::*;

fn older() -> Older {
    Older::read(&json!({
        "uid-1": [{"local": "10.1.0.2:5432", "remote": "10.1.1.9:40000"}],
        "uid-2": [{"local": "10.1.1.2:1", "remote": "10.9.9.9:2"}, {"local": "[fd00::1]:3", "remote": "[fd00::2]:4"}],
        "uid-3": [{"local": "10.1.1.3:1", "remote": "10.9.9.9:2"}],
    }))
    .expect("the page")
}

/// ztunnel has let go of the third.
fn names() -> BTreeMap<String, PodInfo> {
    let pods = [("uid-1", "shop", "cart-1"), ("uid-2", "data", "db-0")];
    let pods = pods.map(|(uid, namespace, name)| {
        let info = PodInfo {
            name: name.into(),
            namespace: namespace.into(),
        };
        (uid.to_owned(), info)
    });
    pods.into()
}

fn of_shop() -> Filter {
    Filter {
        namespace: Some("shop".into()),
        ..Filter::default()
    }
}

fn table(older: &Older, filter: &Filter) -> String {
    let mut table = Table::new(["WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET"]);
    older.rows(&mut table, filter, &names());
    table.text()
}

#[test]
fn each_has_a_row_and_what_that_means_is_said() {
    let text = table(&older(), &of_shop());
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(
        rows[1].starts_with("cart-1.shop   Outside the mesh   10.1.0.2:5432   10.1.1.9:40000"),
        "{text}"
    );
    assert!(rows[2].contains("older than the pod's enrolment"), "{text}");
    let all = table(&older(), &Filter::default());
    assert!(all.lines().count() == 6 && all.contains("\nuid-3 "), "{all}");
    assert_eq!(table(&Older::default(), &Filter::default()), "nothing\n");
    let unknown = table(&Older::unknown("no node agent runs"), &Filter::default());
    assert!(
        unknown.ends_with("are not known: no node agent runs\n"),
        "{unknown}"
    );
}

#[test]
fn data_has_them_with_the_pods_that_were_chosen() {
    let mut all = json!({"uid-1": {"state": "Up"}, "uid-2": {"state": "Up"}});
    older().add_to(&mut all, &Filter::default(), &names());
    assert_eq!(all["uid-1"][FIELD][0]["remote"], "10.1.1.9:40000");
    assert_eq!(all["uid-1"]["state"], "Up");
    assert_eq!(all["uid-2"][FIELD].as_array().map(Vec::len), Some(2));
    assert_eq!(all["uid-3"][FIELD].as_array().map(Vec::len), Some(1));
    let mut chosen = json!({"uid-1": {"state": "Up"}});
    older().add_to(&mut chosen, &of_shop(), &names());
    let uids: Vec<&String> = chosen.as_object().expect("pods").keys().collect();
    assert_eq!(uids, ["uid-1"]);
}

#[test]
fn another_page_is_an_error() {
    assert!(Older::read(&json!([{"local": "a"}])).is_err());
}
