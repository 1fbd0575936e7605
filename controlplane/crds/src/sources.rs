//! What a type's source says beside what it reads: what each field is for, whether it may be absent, whether it may be
//! empty.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use syn::{Attribute, Expr, ExprLit, Fields, ItemEnum, ItemStruct, Lit, Meta, Type, punctuated::Punctuated};
use walkdir::WalkDir;

use crate::trace::Object;

/// Every type of a folder of sources, by the name that serde knows it by.
#[derive(Debug, Default)]
pub struct Sources {
    types: BTreeMap<String, Vec<TypeSource>>,
    names: BTreeMap<String, Vec<TypeSource>>,
}

/// One type.
#[derive(Clone, Debug)]
struct TypeSource {
    /// As Rust calls it; serde may call it otherwise.
    ident: String,
    file: String,
    doc: String,
    fields: BTreeMap<String, FieldSource>,
}

/// One field.
#[derive(Clone, Debug)]
pub struct FieldSource {
    /// As Rust calls it.
    ident: String,
    /// What it is for.
    pub doc: String,
    /// Whether it may not be absent.
    pub required: bool,
    /// Whether it may not be an empty list.
    pub filled: bool,
}

impl Sources {
    /// Reads all sources below a folder.
    ///
    /// # Errors
    /// Fails when one cannot be read, or is no Rust.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut sources = Self::default();
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let path = entry?.into_path();
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let parsed = syn::parse_file(&text).with_context(|| path.display().to_string())?;
            for item in &parsed.items {
                match item {
                    syn::Item::Struct(item) => sources.add_struct(&path, item),
                    syn::Item::Enum(item) => sources.add_enum(&path, item),
                    // Most kinds are another name of `Resource`.
                    syn::Item::Type(item) => {
                        let name = item.ident.to_string();
                        sources.add(&path, &name, None, doc(&item.attrs), BTreeMap::new());
                    }
                    _ => {}
                }
            }
        }
        Ok(sources)
    }

    /// What a type is for: the first sentences of its documentation.
    ///
    /// # Errors
    /// Fails when there is no such type.
    pub fn doc(&self, name: &str) -> Result<&str> {
        let found = self.names.get(name).and_then(|all| all.first());
        found
            .map(|t| t.doc.as_str())
            .ok_or_else(|| anyhow!("there is no type {name}"))
    }

    /// What is said about a field of a type that was traced.
    ///
    /// # Errors
    /// Fails when nothing is.
    pub fn field(&self, object: &Object, field: &str) -> Result<FieldSource> {
        let candidates = self.types.get(object.name).map(Vec::as_slice).unwrap_or_default();
        let has_all = |t: &&TypeSource| {
            t.fields.len() == object.fields.len()
                && object.fields.iter().all(|(name, _)| t.fields.contains_key(*name))
        };
        let source = candidates
            .iter()
            .find(has_all)
            .ok_or_else(|| anyhow!("no source has the type {} with its fields", object.name))?;
        let mut found = source.fields[field].clone();
        if found.doc.is_empty() {
            found.doc = self.doc_of_the_meaning(source, &found).unwrap_or_default();
        }
        match found.doc.is_empty() {
            true => Err(anyhow!(
                "{}: {field} of {} has no description",
                source.file,
                object.name
            )),
            false => Ok(found),
        }
    }

    /// `XFields` is what stands in the text, `X` what it means; most fields are the same in both.
    fn doc_of_the_meaning(&self, source: &TypeSource, field: &FieldSource) -> Option<String> {
        let meaning = source.ident.strip_suffix("Fields")?;
        let means = |name: &str| name.strip_suffix("Spec").unwrap_or(name).ends_with(meaning);
        let types = self
            .names
            .iter()
            .filter(|(name, _)| means(name))
            .flat_map(|(_, all)| all);
        let fields = types
            .filter(|t| t.file == source.file)
            .flat_map(|t| t.fields.values());
        let mut docs = fields.filter(|f| f.ident == field.ident).map(|f| &f.doc);
        docs.find(|doc| !doc.is_empty()).cloned()
    }

    fn add_struct(&mut self, path: &Path, item: &ItemStruct) {
        let serde = Serde::of(&item.attrs);
        let mut fields = BTreeMap::new();
        if let Fields::Named(named) = &item.fields {
            for field in &named.named {
                let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                let own = Serde::of(&field.attrs);
                if own.skip {
                    continue;
                }
                let name = own.rename.clone().unwrap_or_else(|| serde.case(&ident));
                let source = FieldSource {
                    ident,
                    doc: doc(&field.attrs),
                    required: !(serde.default || own.default || is_option(&field.ty)),
                    filled: own.deserialize_with.as_deref() == Some("filled"),
                };
                fields.insert(name, source);
            }
        }
        self.add(
            path,
            &item.ident.to_string(),
            serde.rename,
            doc(&item.attrs),
            fields,
        );
    }

    fn add_enum(&mut self, path: &Path, item: &ItemEnum) {
        let serde = Serde::of(&item.attrs);
        let field = |variant: &syn::Variant| {
            let own = Serde::of(&variant.attrs);
            let name = own.rename.clone();
            let name = name.unwrap_or_else(|| serde.case_of_variant(&variant.ident.to_string()));
            let source = FieldSource {
                ident: variant.ident.to_string(),
                doc: doc(&variant.attrs),
                required: false,
                filled: false,
            };
            (name, source)
        };
        let fields = item.variants.iter().map(field).collect();
        self.add(
            path,
            &item.ident.to_string(),
            serde.rename.clone(),
            doc(&item.attrs),
            fields,
        );
    }

    fn add(
        &mut self,
        path: &Path,
        name: &str,
        rename: Option<String>,
        doc: String,
        fields: BTreeMap<String, FieldSource>,
    ) {
        let source = TypeSource {
            ident: name.to_owned(),
            file: path.display().to_string(),
            doc,
            fields,
        };
        let serde_name = rename.unwrap_or_else(|| name.to_owned());
        self.names
            .entry(name.to_owned())
            .or_default()
            .push(source.clone());
        self.types.entry(serde_name).or_default().push(source);
    }
}

/// What `#[serde(…)]` says.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<String>,
    deserialize_with: Option<String>,
    default: bool,
    skip: bool,
}

impl Serde {
    fn of(attributes: &[Attribute]) -> Self {
        let mut all = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
            let Ok(items) = attribute.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated)
            else {
                continue;
            };
            for item in items {
                let text = match &item {
                    Meta::NameValue(pair) => text(&pair.value),
                    _ => None,
                };
                let name = item.path().get_ident().map(ToString::to_string);
                match name.as_deref() {
                    Some("rename") => all.rename = text,
                    Some("rename_all") => all.rename_all = text,
                    Some("deserialize_with") => all.deserialize_with = text,
                    Some("default") => all.default = true,
                    Some("skip") => all.skip = true,
                    _ => {}
                }
            }
        }
        all
    }

    fn case(&self, ident: &str) -> String {
        match self.rename_all.as_deref() {
            Some("camelCase") => {
                let mut parts = ident.split('_');
                let first = parts.next().unwrap_or_default().to_owned();
                parts.fold(first, |name, part| name + &capitalized(part))
            }
            _ => ident.to_owned(),
        }
    }

    fn case_of_variant(&self, ident: &str) -> String {
        match self.rename_all.as_deref() {
            Some("camelCase") => {
                let (first, rest) = ident.split_at(ident.len().min(1));
                first.to_ascii_lowercase() + rest
            }
            _ => ident.to_owned(),
        }
    }
}

fn capitalized(part: &str) -> String {
    let (first, rest) = part.split_at(part.len().min(1));
    first.to_ascii_uppercase() + rest
}

fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|s| s.ident == "Option"),
        _ => false,
    }
}

/// The documentation, as one paragraph without links.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|a| a.path().is_ident("doc"));
    let lines = lines.filter_map(|a| match &a.meta {
        Meta::NameValue(pair) => text(&pair.value),
        _ => None,
    });
    let joined: Vec<_> = lines.map(|line| line.trim().to_owned()).collect();
    let text = joined.join(" ").replace("[`", "`").replace("`]", "`");
    text.trim().to_owned()
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Some(text.value()),
        _ => None,
    }
}
