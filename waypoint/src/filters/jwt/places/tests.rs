use super::*;

struct Asked {
    headers: HeaderMap,
    uri: Uri,
}

fn asked(uri: &str, headers: &[(&str, &str)]) -> Asked {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    Asked {
        headers: map,
        uri: uri.parse().unwrap(),
    }
}

impl Asked {
    fn find(&self, place: &Place) -> Vec<String> {
        let request = Request {
            method: &Method::GET,
            scheme: "http",
            authority: "shop",
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.headers,
            metadata: None,
        };
        place.find(&request).into_iter().map(Cow::into_owned).collect()
    }

    fn clear(mut self, place: &Place) -> Self {
        place.clear(&mut self.headers, &mut self.uri);
        self
    }
}

#[test]
fn the_usual_places_are_the_bearer_header_and_a_parameter() {
    let places = Place::of(&[]);
    let asked = asked("/a?access_token=t2&b", &[("authorization", "Bearer t1")]);
    let found: Vec<_> = places.iter().flat_map(|place| asked.find(place)).collect();
    assert_eq!(found, ["t1", "t2"]);
}

#[test]
fn a_scheme_is_the_same_in_either_case_and_no_token_hides_behind_another() {
    let place = &Place::Bearer;
    let several = asked(
        "/",
        &[
            ("authorization", "bearer a"),
            ("authorization", "BEARER  b"),
            ("authorization", "Basic c"),
        ],
    );
    assert_eq!(several.find(place), ["a", "b"]);
    assert_eq!(several.clear(place).headers.len(), 0);
    assert_eq!(asked("/", &[("authorization", "Bearer")]).find(place), [""; 0]);
}

#[test]
fn headers_cookies_and_parameters_are_found_and_cleared() {
    let place = Place::Header("x-token".parse().unwrap(), "JWT ".to_owned());
    let request = asked("/", &[("x-token", "JWT a"), ("x-token", "none")]);
    assert_eq!(request.find(&place), ["a"]);
    let place = Place::Cookie("t".to_owned());
    let request = asked("/", &[("cookie", "a=1; t=\"x\";b=2"), ("cookie", "tt=3; t=y")]);
    assert_eq!(request.find(&place), ["x", "y"]);
    let cleared = request.clear(&place);
    assert_eq!(cleared.headers["cookie"], "a=1; b=2; tt=3");
    assert_eq!(asked("/", &[("cookie", "t=x")]).clear(&place).headers.len(), 0);
    let place = Place::Query("t".to_owned());
    let request = asked("/p?t=a&%74=b+c&tt=d&e", &[]);
    assert_eq!(request.find(&place), ["a", "b c"]);
    assert_eq!(request.clear(&place).uri, "/p?tt=d&e");
    assert_eq!(asked("/p?t=a", &[]).clear(&place).uri, "/p");
}

#[test]
fn what_cannot_be_read_is_there_all_the_same() {
    let mut request = asked("/", &[]);
    let place = Place::Header("x-token".parse().unwrap(), String::new());
    request
        .headers
        .insert("x-token", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(request.find(&place), ["\u{fffd}"]);
}
