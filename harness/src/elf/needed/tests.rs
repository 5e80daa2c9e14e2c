//! What a walk finds, misses and refuses, in trees made of the smallest ELF files.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::architecture::Architecture;

/// The smallest ELF file that has what the walk reads.
fn program(interpreter: &str, needed: &[&str], run_path: &str) -> Vec<u8> {
    with_run_path(interpreter, needed, run_path, 29)
}

/// The same with the tag of the run path: 29 is `DT_RUNPATH`, 15 `DT_RPATH`.
fn with_run_path(interpreter: &str, needed: &[&str], run_path: &str, tag: u64) -> Vec<u8> {
    let mut strings = vec![0];
    let mut dynamic: Vec<(u64, u64)> = Vec::new();
    let mut string = |tag: u64, text: &str, dynamic: &mut Vec<(u64, u64)>| {
        dynamic.push((tag, strings.len() as u64));
        strings.extend(text.bytes().chain([0]));
    };
    needed.iter().for_each(|name| string(1, name, &mut dynamic));
    string(tag, run_path, &mut dynamic);
    let start = 64 + 3 * 56;
    let strings_at = start + (dynamic.len() as u64 + 3) * 16;
    dynamic.extend([(5, strings_at), (10, strings.len() as u64), (0, 0)]);
    let interpreter_at = strings_at + strings.len() as u64;
    let total = interpreter_at + interpreter.len() as u64 + 1;
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0u64, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0, 0, 0, 0, 64, 0, 56, 0, 3, 0, 64, 0, 0, 0, 0, 0]);
    let interpreter_type = if interpreter.is_empty() { 0 } else { 3 };
    let segments = [
        (1u32, 0, total),
        (2, start, strings_at - start),
        (interpreter_type, interpreter_at, interpreter.len() as u64 + 1),
    ];
    for (kind, at, size) in segments {
        out.extend(kind.to_le_bytes());
        out.extend(4u32.to_le_bytes());
        for word in [at, at, at, size, size, 8] {
            out.extend(word.to_le_bytes());
        }
    }
    for (tag, value) in dynamic {
        out.extend(tag.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend(&strings);
    out.extend(interpreter.bytes().chain([0]));
    out
}

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for directory in ["usr/bin", "usr/lib/x86_64-linux-gnu/private", "usr/lib64"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    symlink("/usr/lib", at("lib")).unwrap();
    symlink("usr/lib64", at("lib64")).unwrap();
    let interpreter = "/lib64/ld.so.2";
    fs::write(at("usr/bin/p"), program(interpreter, &["liba.so.1", "libc.so.6"], "")).unwrap();
    fs::write(at("usr/bin/script"), "#!/bin/sh\n").unwrap();
    fs::write(at("usr/lib/x86_64-linux-gnu/ld.so.2"), program("", &[], "")).unwrap();
    symlink("/lib/x86_64-linux-gnu/ld.so.2", at("usr/lib64/ld.so.2")).unwrap();
    let library = at("usr/lib/x86_64-linux-gnu");
    fs::write(library.join("libc.so.6"), program("", &["ld.so.2"], "")).unwrap();
    fs::write(library.join("liba.so.1.2.3"), program("", &["libb.so.1", "libc.so.6"], "$ORIGIN/private")).unwrap();
    symlink("liba.so.1.2.3", library.join("liba.so.1")).unwrap();
    fs::write(library.join("private/libb.so.1"), program("", &[], "")).unwrap();
    root
}

#[test]
fn interpreter_and_libraries_are_found_through_links() {
    let root = tree();
    let needed =
        walk(root.path(), &["usr/bin/p", "usr/bin/script"], &Architecture::Amd64.library_directories()).unwrap();
    let lines: Vec<String> = needed
        .iter()
        .map(|one| {
            let source = one.source.strip_prefix(root.path()).unwrap();
            format!("{:?} {} = {}\n", one.role, one.path.display(), source.display())
        })
        .collect();
    expect_test::expect![[r#"
        Library lib/x86_64-linux-gnu/liba.so.1 = usr/lib/x86_64-linux-gnu/liba.so.1.2.3
        Library lib/x86_64-linux-gnu/libc.so.6 = usr/lib/x86_64-linux-gnu/libc.so.6
        Library lib/x86_64-linux-gnu/private/libb.so.1 = usr/lib/x86_64-linux-gnu/private/libb.so.1
        Interpreter lib64/ld.so.2 = usr/lib/x86_64-linux-gnu/ld.so.2
        Start usr/bin/p = usr/bin/p
        Start usr/bin/script = usr/bin/script
    "#]]
    .assert_eq(&lines.concat());
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let root = tree();
    fs::remove_file(root.path().join("usr/lib/x86_64-linux-gnu/private/libb.so.1")).unwrap();
    let error = walk(root.path(), &["usr/bin/p"], &["usr/lib/x86_64-linux-gnu"]).unwrap_err().to_string();
    assert!(error.starts_with(
        "usr/lib/x86_64-linux-gnu/liba.so.1 needs the library libb.so.1, \
         which is in none of usr/lib/x86_64-linux-gnu/private, usr/lib/x86_64-linux-gnu of "
    ));
    let error = walk(root.path(), &["usr/bin/q"], &["usr/lib"]).unwrap_err().to_string();
    assert!(error.starts_with("usr/bin/q is not in "), "{error}");
}

fn place(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The libraries that a program of this kind of run path is given, in a root with an `ld.so.cache`.
fn libraries(tag: u64, run_path: &str, first: &[&str]) -> String {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| place(root.path(), path, bytes);
    put("p", &with_run_path("", &["liba.so"], run_path, tag));
    put("own/liba.so", &program("", &["libb.so"], ""));
    for path in ["own/libb.so", "cached/liba.so", "cached/libb.so", "default/libb.so"] {
        put(path, &program("", &[], ""));
    }
    let cache = [("libb.so".to_owned(), PathBuf::from("/cached/libb.so"))].into();
    let first = first.iter().map(PathBuf::from).collect();
    let places = Places { first, cache, directories: vec!["default".into()] };
    let found = search(root.path(), &["p"], &places).unwrap();
    let names: Vec<String> = found.files.iter().map(|file| file.path.display().to_string()).collect();
    format!("{} missing {}", names.join(" "), found.missing.len())
}

#[test]
fn run_paths_come_before_the_cache_and_the_old_kind_is_inherited() {
    assert_eq!(libraries(29, "$ORIGIN/own", &[]), "cached/libb.so own/liba.so p missing 0");
    assert_eq!(libraries(15, "/own", &[]), "own/liba.so own/libb.so p missing 0");
    assert_eq!(libraries(29, "/nowhere", &[]), "p missing 1");
    assert_eq!(libraries(29, "/own", &["/cached"]), "cached/liba.so p missing 0");
    assert_eq!(libraries(15, "/own", &["/cached"]), "own/liba.so own/libb.so p missing 0");
}

#[test]
fn libraries_of_another_machine_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let mut other = program("", &[], "");
    other[18] = 40;
    place(root.path(), "p", &program("", &["liba.so"], ""));
    place(root.path(), "first/liba.so", &other);
    place(root.path(), "second/liba.so", &program("", &[], ""));
    let files = walk(root.path(), &["p"], &["first", "second"]).unwrap();
    assert!(files.iter().any(|file| file.path == Path::new("second/liba.so")), "{files:?}");
}

#[test]
fn broken_files_and_link_loops_are_errors() {
    let root = tree();
    fs::write(root.path().join("usr/bin/p"), b"\x7fELF\x02\x01\x01 and no more").unwrap();
    assert!(matches!(walk(root.path(), &["usr/bin/p"], &["lib"]), Err(NeededError::Elf { .. })));
    symlink("loop", root.path().join("loop")).unwrap();
    assert_eq!(resolve(root.path(), Path::new("loop")), None);
    assert_eq!(resolve(root.path(), Path::new("../../../etc/passwd")), None);
}
