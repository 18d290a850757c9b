//! The committed code in `src/generated/` is what the schema gives today.
//!
//! The schema is compiled in memory by a compiler that is itself a Rust library, so neither
//! `protoc` nor a build script is needed. `UPDATE=1 cargo test -p bus-proto --test codegen`
//! rewrites the committed files. The last tests change the schema on purpose and see that the
//! comparison notices.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost_build::Module;
use protox::Compiler;
use protox::file::{File, FileResolver};

/// What to do when the comparison fails; part of every failure message.
const ADVICE: &str = "run `UPDATE=1 cargo test -p bus-proto --test codegen`, look at the difference \
                      and commit it together with the schema";

/// File name to text: schema files by their import path, generated files by their plain name.
type Files = BTreeMap<String, String>;

#[test]
fn committed_code_is_what_the_schema_gives() {
    let fresh = generate(&schema()).unwrap();
    let folder = package_folder().join("src/generated");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        rewrite(&folder, &fresh);
    }
    let differences = differences(&files_below(&folder, "rs"), &fresh);
    assert!(differences.is_empty(), "{}\n{ADVICE}", differences.join("\n"));
}

#[test]
fn a_changed_schema_gives_other_code() {
    let unchanged = generate(&schema()).unwrap();
    assert!(differences(&unchanged, &unchanged).is_empty());
    for (name, text) in schema() {
        let mut changed = schema();
        changed.insert(name.clone(), format!("{text}\nmessage Planted {{ bytes seed = 1; }}\n"));
        let found = differences(&unchanged, &generate(&changed).unwrap());
        assert_eq!(found.len(), 1, "the planted message in {name} was not noticed: {found:?}");
        assert!(found[0].contains("first differs in line"), "{}", found[0]);
    }
}

#[test]
fn missing_and_left_over_files_are_differences() {
    let one = Files::from([("a.rs".to_owned(), "// a\n".to_owned())]);
    let none = Files::new();
    assert!(differences(&none, &one)[0].contains("a.rs is not committed"));
    assert!(differences(&one, &none)[0].contains("a.rs is committed, but no schema gives it"));
}

#[test]
fn a_schema_error_names_its_file() {
    let broken = Files::from([("bus/v1/broken.proto".to_owned(), "message {".to_owned())]);
    let error = generate(&broken).unwrap_err();
    assert!(error.contains("bus/v1/broken.proto"), "{error}");
}

/// Compiles the schema and returns the Rust files it gives, formatted as they are committed.
fn generate(schema: &Files) -> Result<Files, String> {
    let mut compiler = Compiler::with_file_resolver(InMemory(schema.clone()));
    compiler.include_imports(true).include_source_info(true);
    for name in schema.keys() {
        compiler.open_file(name).map_err(|error| format!("{name}: {error}"))?;
    }
    let requests = compiler.file_descriptor_set().file.into_iter();
    let requests = requests.map(|file| (Module::from_protobuf_package_name(file.package()), file));
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    let modules = config.generate(requests.collect()).map_err(|error| error.to_string())?;
    Ok(modules.into_iter().map(|(module, text)| (module.to_file_name_or("_"), text)).collect())
}

/// One line for each file that is missing, left over or different.
fn differences(committed: &Files, fresh: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (name, wanted) in fresh {
        match committed.get(name) {
            None => found.push(format!("{name} is not committed")),
            Some(there) if there == wanted => {}
            Some(there) => {
                let same = there.lines().zip(wanted.lines()).take_while(|(a, b)| a == b);
                let line = same.count() + 1;
                found.push(format!(
                    "{name} first differs in line {line} from what the schema gives"
                ));
            }
        }
    }
    let left_over = committed.keys().filter(|name| !fresh.contains_key(*name));
    found.extend(left_over.map(|name| format!("{name} is committed, but no schema gives it")));
    found
}

/// Makes the folder hold exactly the fresh files.
fn rewrite(folder: &Path, fresh: &Files) {
    fs::create_dir_all(folder).unwrap();
    for name in files_below(folder, "rs").keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name)).unwrap();
    }
    for (name, text) in fresh {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn schema() -> Files {
    let schema = files_below(&package_folder().join("schema"), "proto");
    assert!(!schema.is_empty(), "no schema found");
    schema
}

fn package_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this extension below the folder, by their path relative to it.
fn files_below(folder: &Path, extension: &str) -> Files {
    let mut files = Files::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in
            fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// Resolves imports from a map, so that a test can change the schema without touching a disk.
struct InMemory(Files);

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
