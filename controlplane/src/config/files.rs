//! Contents of files in, object changes and a status out. Pure: no file is touched here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controlplane_k8s_api::{IgnoredReason, Located, Object, ObjectKey, ObjectRef, parse};
use serde::Serialize;

use super::scan::FileName;

/// What every file says, and which file each object is taken from.
#[derive(Debug, Default)]
pub struct ConfigFiles {
    files: BTreeMap<FileName, FileState>,
    /// Every file that holds the object, in the order of their paths: the first one counts.
    holders: BTreeMap<ObjectKey, BTreeMap<FileName, Arc<Located<Object>>>>,
    /// What was handed out by [`ConfigFiles::take_changes`].
    published: BTreeMap<ObjectKey, Arc<Located<Object>>>,
    touched: BTreeSet<ObjectKey>,
    /// Files without any good content.
    never_good: BTreeSet<FileName>,
    /// Files whose status may be another one than at the last [`ConfigFiles::take_statuses`].
    restated: BTreeSet<FileName>,
    parsed: u64,
}

/// One object, as the files have it now.
#[derive(Clone, Debug, PartialEq)]
pub enum FileChange {
    /// It is new or different.
    Set(ObjectKey, Arc<Located<Object>>),
    /// No file holds it any more.
    Removed(ObjectKey),
}

/// What became of a file's new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts from now on.
    Good,
    /// It is broken; what was good before still counts. Each reason is one line that begins with the file's name.
    KeptLastGood(Vec<String>),
    /// It is broken, and nothing good is known.
    NeverGood(Vec<String>),
    /// It is broken as it was before.
    StillBroken,
}

/// The status of a file, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Its path below the configuration directory.
    pub file: String,
    /// Which content counts.
    pub state: ContentState,
    /// What is wrong with its present content; one line each.
    pub errors: Vec<String>,
    /// What is not wrong, and probably not meant either.
    pub warnings: Vec<String>,
    /// The objects of the content that counts.
    pub objects: Vec<ObjectStatus>,
    /// Objects that configure a mesh and count for nothing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedObject>,
    /// Objects whose present content is wrong, once for each thing that is; where nobody can tell which object is meant,
    /// all that were good.
    #[serde(skip)]
    pub broken: Vec<RefusedObject>,
}

/// An object that configures a mesh and counts for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedObject {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// One line.
    pub reason: String,
}

impl FileStatus {
    /// Objects that are elsewhere too: one line each.
    pub fn duplicates(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter_map(|o| o.error.as_deref())
    }
}

/// Which content of a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentState {
    /// The present one.
    Current,
    /// An earlier one: the present one is broken.
    LastGood,
    /// None: there never was a good one.
    NeverGood,
}

/// The status of an object, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectStatus {
    /// `Pod shop/cart-1`.
    pub object: String,
    /// Where its document begins in the content that counts.
    pub line: u64,
    /// Why this is not what counts: the same object is elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What its author should know; not known to the files, filled in by whoever shows the status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

#[derive(Debug, Default)]
struct FileState {
    good: Option<Good>,
    /// What is wrong with the present content.
    errors: Vec<Fault>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    object: Option<ObjectRef>,
    /// One line that begins with the file's name.
    text: String,
}

#[derive(Debug, Default)]
struct Good {
    objects: Vec<(ObjectKey, Arc<Located<Object>>)>,
    warnings: Vec<String>,
    refused: Vec<RefusedObject>,
}

impl ConfigFiles {
    /// Takes a file's new content.
    pub fn update(&mut self, file: &FileName, text: &str) -> Verdict {
        self.parsed += 1;
        match read(file, text) {
            Ok(good) => {
                self.forget_objects(file);
                self.hold_objects(file, &good);
                self.never_good.remove(file);
                let state = self.files.entry(file.clone()).or_default();
                state.good = Some(good);
                state.errors.clear();
                Verdict::Good
            }
            Err(errors) => self.broken(file, errors),
        }
    }

    /// Takes the news that a file is there and cannot be read.
    pub fn unreadable(&mut self, file: &FileName, reason: &str) -> Verdict {
        let text = format!("{file}: {reason}");
        self.broken(file, vec![Fault { object: None, text }])
    }

    /// Takes the news that a file is gone, and its objects with it.
    pub fn remove(&mut self, file: &FileName) {
        self.forget_objects(file);
        self.files.remove(file);
        self.never_good.remove(file);
    }

    /// How many contents were parsed: tests hold "only what changed" to this.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.parsed
    }

    /// Whether an object would be gone with the next [`ConfigFiles::take_changes`].
    #[must_use]
    pub fn removes(&self) -> bool {
        let is_gone = |key| self.published.contains_key(key) && !self.holders.contains_key(key);
        self.touched.iter().any(is_gone)
    }

    /// What changed since the last call; an object that says the same as before is no change.
    pub fn take_changes(&mut self) -> Vec<FileChange> {
        let mut changes = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let now = self.holders.get(&key).and_then(|h| h.values().next());
            match (self.published.get(&key), now) {
                (Some(before), Some(now)) if before.value == now.value => {}
                (_, Some(now)) => {
                    self.published.insert(key.clone(), now.clone());
                    changes.push(FileChange::Set(key, now.clone()));
                }
                (Some(_), None) => {
                    self.published.remove(&key);
                    changes.push(FileChange::Removed(key));
                }
                (None, None) => {}
            }
        }
        changes
    }

    /// The errors of files without any good content: what keeps the control plane from knowing its configuration.
    #[must_use]
    pub fn never_good(&self) -> Vec<String> {
        let bad = self.never_good.iter().filter_map(|file| self.files.get(file));
        bad.flat_map(|f| texts(&f.errors)).collect()
    }

    /// The status of every file that may have another one than at the last call; nothing for one that is gone.
    pub fn take_statuses(&mut self) -> Vec<(FileName, Option<FileStatus>)> {
        let restated = std::mem::take(&mut self.restated).into_iter();
        let status = |file: FileName| {
            let status = self.files.get(&file).map(|state| self.status_of(&file, state));
            (file, status)
        };
        restated.map(status).collect()
    }

    /// The status of every file, by name.
    #[must_use]
    pub fn status(&self) -> Vec<FileStatus> {
        let files = self.files.iter();
        files.map(|(file, state)| self.status_of(file, state)).collect()
    }

    fn status_of(&self, file: &FileName, state: &FileState) -> FileStatus {
        let good = state.good.as_ref();
        let content = match (good, state.errors.is_empty()) {
            (Some(_), true) => ContentState::Current,
            (Some(_), false) => ContentState::LastGood,
            (None, _) => ContentState::NeverGood,
        };
        let objects = good.map_or(&[][..], |g| &g.objects);
        FileStatus {
            file: file.to_string(),
            state: content,
            errors: texts(&state.errors),
            warnings: good.map(|g| g.warnings.clone()).unwrap_or_default(),
            objects: objects
                .iter()
                .map(|(key, object)| self.object_status(file, key, object))
                .collect(),
            refused: good.map(|g| g.refused.clone()).unwrap_or_default(),
            broken: state.errors.iter().flat_map(|fault| fault.about(good)).collect(),
        }
    }

    /// An object that is in several files counts from the first; both say so.
    fn object_status(&self, file: &FileName, key: &ObjectKey, object: &Arc<Located<Object>>) -> ObjectStatus {
        let holders = self.holders.get(key);
        let first = holders.and_then(|h| h.first_key_value());
        let others: Vec<_> = holders
            .into_iter()
            .flat_map(|h| h.iter())
            .filter(|(f, _)| *f != file)
            .map(|(f, o)| format!("{f}:{}", o.at.line))
            .collect();
        let error = match first {
            Some((_, counted)) if Arc::ptr_eq(counted, object) && others.is_empty() => None,
            Some((winner, counted)) if winner == file && !Arc::ptr_eq(counted, object) => Some(format!(
                "{file}:{}: {} is in this file already, at line {}, which counts",
                object.at.line,
                key.reference(),
                counted.at.line
            )),
            Some((winner, _)) => Some(format!(
                "{file}:{}: {} is also at {}; the one in {winner} counts",
                object.at.line,
                key.reference(),
                others.join(", ")
            )),
            None => None,
        };
        ObjectStatus {
            object: key.reference().to_string(),
            line: object.at.line,
            error,
            conditions: Vec::new(),
        }
    }

    fn broken(&mut self, file: &FileName, faults: Vec<Fault>) -> Verdict {
        let state = self.files.entry(file.clone()).or_default();
        if state.errors == faults {
            return Verdict::StillBroken;
        }
        let errors = texts(&faults);
        state.errors = faults;
        self.restated.insert(file.clone());
        match state.good {
            Some(_) => Verdict::KeptLastGood(errors),
            None => {
                self.never_good.insert(file.clone());
                Verdict::NeverGood(errors)
            }
        }
    }

    fn forget_objects(&mut self, file: &FileName) {
        self.restated.insert(file.clone());
        let good = self.files.get_mut(file).and_then(|state| state.good.take());
        for (key, _) in good.into_iter().flat_map(|g| g.objects) {
            if let Some(holders) = self.holders.get_mut(&key) {
                holders.remove(file);
                // Who has it too says so, or not any more.
                self.restated.extend(holders.keys().cloned());
                if holders.is_empty() {
                    self.holders.remove(&key);
                }
            }
            self.touched.insert(key);
        }
    }

    fn hold_objects(&mut self, file: &FileName, good: &Good) {
        for (key, object) in &good.objects {
            let holders = self.holders.entry(key.clone()).or_default();
            self.restated.extend(holders.keys().cloned());
            // Twice in one file: the first counts here too.
            holders.entry(file.clone()).or_insert_with(|| object.clone());
            self.touched.insert(key.clone());
        }
    }
}

impl Fault {
    fn about(&self, good: Option<&Good>) -> Vec<RefusedObject> {
        let of = |object: ObjectRef| RefusedObject {
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            reason: self.text.clone(),
        };
        match &self.object {
            Some(object) => vec![of(object.clone())],
            None => {
                let objects = good.map_or(&[][..], |good| &good.objects);
                objects.iter().map(|(key, _)| of(key.reference())).collect()
            }
        }
    }
}

fn texts(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| fault.text.clone()).collect()
}

/// The objects of a text, or everything that is wrong with it.
fn read(file: &FileName, text: &str) -> Result<Good, Vec<Fault>> {
    let mut good = Good::default();
    let mut errors = Vec::new();
    for result in parse(text) {
        let object = match result {
            Ok(object) => object,
            Err(e) => {
                let text = e.in_file(file.as_str());
                let object = e.object.map(|object| *object);
                errors.push(Fault { object, text });
                continue;
            }
        };
        let told = object.warnings.iter().map(|w| w.in_file(file.as_str()));
        good.warnings.extend(told);
        match (object.value.key(), &object.value) {
            (Some(key), _) => good.objects.push((key, Arc::new(object))),
            (None, Object::Ignored(ignored)) if ignored.reason != IgnoredReason::NotNeeded => {
                good.warnings.push(format!(
                    "{file}:{}: {} ({}) has no effect: {}",
                    object.at, ignored.object, ignored.api_version, ignored.reason
                ));
                good.refused.push(RefusedObject {
                    kind: ignored.object.kind.to_string(),
                    namespace: ignored.object.namespace.to_string(),
                    name: ignored.object.name.to_string(),
                    reason: ignored.reason.to_string(),
                });
            }
            (None, _) => {}
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
