use serde_json::json;

use super::*;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let mut table = Table::new(["NAME", "STATE"]);
    table.row(["a-rather-long-name".into(), "fine".into()]);
    table.row(["ü".into(), "gone".into()]);
    table.foot("2 of them");
    assert_eq!(
        table.text(),
        "NAME                 STATE\n\
         a-rather-long-name   fine\n\
         ü                    gone\n\
         2 of them\n"
    );
}

#[test]
fn a_table_without_rows_says_so() {
    assert_eq!(Table::new(["NAME"]).or("no proxies").text(), "no proxies\n");
}

#[test]
fn programs_get_data_and_not_the_table() {
    let view = View {
        table: Table::new(["NAME"]),
        data: json!({"name": "a", "count": 2}),
    };
    let text = view.text(Format::Json).expect("JSON");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), view.data);
    assert_eq!(view.text(Format::Yaml).expect("YAML"), "count: 2\nname: a\n");
}
