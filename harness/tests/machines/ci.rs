//! The examples in `docs/ci`: they are what their services take, as far as that can be seen here,
//! and their commands do what they should. They are executed with the reference engine on this
//! machine's own kernel, on a few scenarios.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use testing::lack::lack_of_namespaces;
use yaml_rust2::{Yaml, YamlLoader};

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let mut tests =
        trials!(None => github_actions_has_what_it_needs, gitlab_has_what_it_needs, kubernetes_has_what_it_needs);
    tests.extend(trials!(lack_of_namespaces() =>
        the_commands_run_and_their_parts_make_the_whole,
        the_members_of_a_campaign_find_something_together,
    ));
    tests
}

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree")
}

fn example(name: &str) -> Result<Yaml, Failed> {
    let text = fs::read_to_string(tree().join("docs/ci").join(name))?;
    let mut documents = YamlLoader::load_from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    if documents.len() != 1 {
        return Err(format!("{name}: {} documents", documents.len()).into());
    }
    Ok(documents.remove(0))
}

fn texts(list: &Yaml) -> Vec<String> {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).map(str::to_owned).collect()
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn github_actions_has_what_it_needs() -> Result<(), Failed> {
    let file = example("github-actions.yml")?;
    let jobs = file["jobs"].as_hash().ok_or("no jobs")?;
    for (name, job) in jobs {
        check(job["runs-on"].as_str().is_some(), &format!("{name:?} runs on nothing"))?;
        for step in job["steps"].as_vec().ok_or("a job without steps")? {
            let (uses, run) = (step["uses"].as_str(), step["run"].as_str());
            check(uses.is_some() != run.is_some(), &format!("a step uses something or runs something: {step:?}"))?;
            check(uses.is_none_or(|action| action.contains('@')), &format!("an action without a version: {uses:?}"))?;
        }
    }
    let parts = texts(&file["jobs"]["part"]["strategy"]["matrix"]["part"]);
    check(parts.iter().enumerate().all(|(at, part)| *part == format!("{}/{}", at + 1, parts.len())), "odd parts")?;
    Ok(check(file["jobs"]["report"]["needs"].as_str() == Some("part"), "the report does not wait for the parts")?)
}

fn gitlab_has_what_it_needs() -> Result<(), Failed> {
    let file = example("gitlab-ci.yml")?;
    let stages = texts(&file["stages"]);
    for (name, job) in file.as_hash().ok_or("no jobs")? {
        let name = name.as_str().unwrap_or_default();
        if name == "stages" || name.starts_with('.') {
            continue;
        }
        check(
            job["stage"].as_str().is_some_and(|stage| stages.iter().any(|one| one == stage)),
            &format!("{name}: its stage"),
        )?;
        check(!texts(&job["script"]).is_empty(), &format!("{name} has no script"))?;
        let base = job["extends"].as_str().unwrap_or_default();
        check(!file[base].is_badvalue(), &format!("{name} extends {base:?}, which is not there"))?;
    }
    Ok(())
}

fn kubernetes_has_what_it_needs() -> Result<(), Failed> {
    let file = example("kubernetes-job.yaml")?;
    let script = is_an_indexed_job(&file)?;
    let count = file["spec"]["completions"].as_i64().ok_or("no completions")?;
    check(script.contains(&format!("+ 1))/{count}\"")), "the parts are not as many as the completions")?;
    let script = is_an_indexed_job(&example("kubernetes-campaign.yaml")?)?;
    Ok(check(script.contains("--member member-$JOB_COMPLETION_INDEX "), "the members have no names of their own")?)
}

/// Checks what every such file must have; what its pods carry out.
fn is_an_indexed_job(file: &Yaml) -> Result<String, Failed> {
    check(file["apiVersion"].as_str() == Some("batch/v1") && file["kind"].as_str() == Some("Job"), "no job")?;
    let spec = &file["spec"];
    check(spec["completionMode"].as_str() == Some("Indexed"), "not indexed")?;
    let pod = &spec["template"]["spec"];
    check(matches!(pod["restartPolicy"].as_str(), Some("Never" | "OnFailure")), "a job's pod may not restart always")?;
    let container = &pod["containers"][0];
    let script = texts(&container["args"]).concat();
    let named = |list: &Yaml| -> BTreeSet<String> {
        list.as_vec().into_iter().flatten().filter_map(|item| item["name"].as_str()).map(str::to_owned).collect()
    };
    check(named(&container["volumeMounts"]) == named(&pod["volumes"]), "mounts and volumes do not match")?;
    Ok(script)
}

/// The command lines of this program in an example.
fn of_program(yaml: &Yaml, lines: &mut Vec<String>) {
    match yaml {
        Yaml::String(text) => {
            lines.extend(
                text.lines().map(str::trim).filter(|line| line.starts_with("zdtm-detached ")).map(str::to_owned),
            );
        }
        Yaml::Array(items) => items.iter().for_each(|item| of_program(item, lines)),
        Yaml::Hash(fields) => fields.iter().for_each(|(_, value)| of_program(value, lines)),
        _ => {}
    }
}

/// How an example's variables and folders are called here: for the part with this number, from 1.
struct Place<'a> {
    folder: &'a Path,
    part: usize,
}

impl Place<'_> {
    /// Runs a line through a shell as the example's service would; its output.
    fn run(&self, line: &str) -> Result<String, Failed> {
        let bin = Path::new(env!("CARGO_BIN_EXE_zdtm-detached")).parent().ok_or("the program has no folder")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path)))?;
        // The folders of a service, and a few scenarios instead of all.
        let line = line
            .replace("--tree zdtm-detached", &format!("--tree {}", tree().display()))
            .replace("--tree /zdtm-detached", &format!("--tree {}", tree().display()))
            .replace("/results", &self.folder.display().to_string())
            .replace("/campaign", &self.folder.display().to_string())
            .replace("--subject src:/criu --time 8h", "--subject reference+fault:position-lost --programs 60 -j 1")
            .replace("zdtm-detached run", "zdtm-detached run 'deleted/unlinked*'");
        let index = self.part - 1;
        let output = Command::new("sh")
            .args(["-ec", &line])
            .current_dir(self.folder)
            .env("PATH", path)
            .env("CI_NODE_INDEX", self.part.to_string())
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .env("ZDTM_DETACHED_SHARD", format!("{}/4", self.part))
            .env("ZDTM_DETACHED_SUBJECT", "reference")
            .env("ZDTM_DETACHED_BACKEND", "host")
            .env_remove("GITHUB_STEP_SUMMARY")
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A campaign that finds something ends with 1.
        match output.status.success() || line.contains(" fuzz ") && output.status.code() == Some(1) {
            true => Ok(text),
            false => {
                Err(format!("{line}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
            }
        }
    }
}

/// Names of the trials in a report.
fn trials(file: &Path) -> Result<Vec<String>, Failed> {
    let value: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let trials = value["trials"].as_array().ok_or("no trials")?;
    Ok(trials.iter().filter_map(|trial| trial["id"].as_str()).map(str::to_owned).collect())
}

fn the_commands_run_and_their_parts_make_the_whole() -> Result<(), Failed> {
    for (name, part_file) in [
        ("github-actions.yml", (|_| "part.json".to_owned()) as fn(usize) -> String),
        ("gitlab-ci.yml", |part| format!("part-{part}.json")),
        ("kubernetes-job.yaml", |part| format!("part-{}.json", part - 1)),
    ] {
        let folder = tempfile::tempdir()?;
        let mut lines = Vec::new();
        of_program(&example(name)?, &mut lines);
        let run = lines.iter().find(|line| line.contains(" run ")).ok_or("no run")?;
        let mut all = Vec::new();
        for part in 1..=4 {
            let place = Place { folder: folder.path(), part };
            place.run(run)?;
            let file = folder.path().join(part_file(part));
            all.extend(trials(&file)?);
            // As the service collects them.
            let kept = folder.path().join(format!("parts/{part}/part.json"));
            fs::create_dir_all(kept.parent().ok_or("no folder")?)?;
            fs::copy(&file, &kept)?;
        }
        let whole: BTreeSet<&String> = all.iter().collect();
        check(
            whole.len() == all.len() && all.len() > 4,
            &format!("{name}: {} trials, {} of them once", all.len(), whole.len()),
        )?;
        let place = Place { folder: folder.path(), part: 1 };
        let report = lines.iter().find(|line| line.contains(" report "));
        let line = report.cloned().unwrap_or_else(|| {
            let parts: Vec<PathBuf> = (1..=4).map(|part| folder.path().join(part_file(part))).collect();
            let parts: Vec<String> = parts.iter().map(|part| part.display().to_string()).collect();
            format!("zdtm-detached report {} --report html=report.html", parts.join(" "))
        });
        let printed = place.run(&line)?;
        let last = printed.lines().last().unwrap_or_default();
        check(last == format!("result: {} passed, 0 failed, 0 skipped", all.len()), &format!("{name}: {last}"))?;
        check(folder.path().join("report.html").is_file(), &format!("{name}: no page"))?;
    }
    Ok(())
}

fn the_members_of_a_campaign_find_something_together() -> Result<(), Failed> {
    let mut lines = Vec::new();
    of_program(&example("kubernetes-campaign.yaml")?, &mut lines);
    let [line] = &lines[..] else { return Err(format!("one command, not {lines:?}").into()) };
    let folder = tempfile::tempdir()?;
    for part in 1..=2 {
        Place { folder: folder.path(), part }.run(line)?;
    }
    let place = Place { folder: folder.path(), part: 1 };
    let printed = place.run("zdtm-detached fuzz --share /campaign --merged")?;
    check(printed.contains("wrong-flags descriptor position"), &format!("nothing was found: {printed}"))?;
    let page = fs::read_to_string(folder.path().join("index.html"))?;
    Ok(check(["member-0", "member-1"].iter().all(|name| page.contains(name)), "a member is missing in the page")?)
}
