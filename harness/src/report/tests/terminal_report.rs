//! What a person reads.

use expect_test::expect;

use super::run::{events, feed, finished};
use crate::judge::{FailureKind, Judgement, Verdict};
use crate::report::terminal::{ColourChoice, Detail, Look, Terminal, colour_wanted};
use crate::report::{Event, Reporter as _, SharedAxes};

fn shown(events: &[Event], width: usize, colour: bool) -> String {
    let mut out = Vec::new();
    feed(&mut Terminal::new(&mut out, Look { width, colour, bar: false, detail: Detail::Lines }), events);
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_and_80_columns_wide() {
    expect![[r#"
        6 trials: flavor ns, lifecycle dump-restore, kernel 6.12, subject debian:trixie
        [1/6] pass                  attributes/ro@tmpfs  0.4 s
        [2/6] xfail(dump-failed)    attributes/nosuid@tmpfs  0.4 s
        [3/6] fail(wrong-path)      deleted/un'linked@ext4  0.4 s
        [4/6] unsupported           deleted/all@btrfs  0.4 s: no btrfs here: mount btrfs on a: ENODEV
        [5/6] xpass                 deleted/fixed@xfs  0.4 s
        [6/6] error                 own  0.4 s

        family       pass  xfail  fail  xpass  unsupported  error
        (own files)     0      0     0      0            0      1
        attributes      1      1     0      0            0      0
        deleted         0      0     1      1            1      0
        total           1      1     1      1            1      1

        xpass  deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie
          it passes now, but expectations.toml:2 expects dump-failed
          again:     zdtm-detached run deleted/fixed@xfs --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show deleted/fixed@xfs

        error  own/ns/dump-restore/6.12/debian:trixie
          the agent did not report the dump
          again:     zdtm-detached run own --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show own

        fail(wrong-path)  deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
          fd0 (descriptor 3), inside and outside: link [wrong-path]
            expected  "/f (deleted)"
            got       "/d/f"
                        ^
          fd0 (descriptor 3), inside: lookup "\xff" (plain) [wrong-path]
            expected  "/a\xff"
            got       "/a\xfe"
                         ^
          fd0 (descriptor 3), inside: lookup "größe/日本" (plain) [wrong-path]
            expected  "/größe/日本/x"
            got       "/größe/日本/y"
                                   ^
          fd0 (descriptor 3), outside: lookup "long" (beneath) [wrong-path]
            expected  .../directory/directory//expected"
            got       .../directory/directory//got"
                                               ^
            ... and 7 more differences
          log:
            (00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}
          replay:    zdtm-detached replay results/deleted_x-1a2b3c4d
          shrink:    zdtm-detached shrink results/deleted_x-1a2b3c4d
          shell:     zdtm-detached shell results/deleted_x-1a2b3c4d
          again:     zdtm-detached run 'deleted/un'\''linked@ext4' --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show 'deleted/un'\''linked@ext4'

        3 causes of 3 failures
        1. 1x wrong-path: fd0 (descriptor 3), inside: link: expected "/f (deleted)", ...
           deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
        2. 1x error: the agent did not report the dump
           own/ns/dump-restore/6.12/debian:trixie
        3. 1x xpass: it passes now, but expectations.toml:2 expects dump-failed
           deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie

        6 trials in 12.3 s
        result: 2 passed, 3 failed, 1 skipped
    "#]].assert_eq(&shown(&events(), 80, false));
}

#[test]
fn plain_and_200_columns_wide() {
    expect![[r#"
        6 trials: flavor ns, lifecycle dump-restore, kernel 6.12, subject debian:trixie
        [1/6] pass                  attributes/ro@tmpfs  0.4 s
        [2/6] xfail(dump-failed)    attributes/nosuid@tmpfs  0.4 s
        [3/6] fail(wrong-path)      deleted/un'linked@ext4  0.4 s
        [4/6] unsupported           deleted/all@btrfs  0.4 s: no btrfs here: mount btrfs on a: ENODEV
        [5/6] xpass                 deleted/fixed@xfs  0.4 s
        [6/6] error                 own  0.4 s

        family       pass  xfail  fail  xpass  unsupported  error
        (own files)     0      0     0      0            0      1
        attributes      1      1     0      0            0      0
        deleted         0      0     1      1            1      0
        total           1      1     1      1            1      1

        xpass  deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie
          it passes now, but expectations.toml:2 expects dump-failed
          again:     zdtm-detached run deleted/fixed@xfs --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show deleted/fixed@xfs

        error  own/ns/dump-restore/6.12/debian:trixie
          the agent did not report the dump
          again:     zdtm-detached run own --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show own

        fail(wrong-path)  deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
          fd0 (descriptor 3), inside and outside: link [wrong-path]
            expected  "/f (deleted)"
            got       "/d/f"
                        ^
          fd0 (descriptor 3), inside: lookup "\xff" (plain) [wrong-path]
            expected  "/a\xff"
            got       "/a\xfe"
                         ^
          fd0 (descriptor 3), inside: lookup "größe/日本" (plain) [wrong-path]
            expected  "/größe/日本/x"
            got       "/größe/日本/y"
                                   ^
          fd0 (descriptor 3), outside: lookup "long" (beneath) [wrong-path]
            expected  "/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//expected"
            got       "/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//got"
                                                                                                                                                 ^
            ... and 7 more differences
          log:
            (00.01) Error (criu/files-reg.c:1): \u{1b}[2Jbad\u{202e}
          replay:    zdtm-detached replay results/deleted_x-1a2b3c4d
          shrink:    zdtm-detached shrink results/deleted_x-1a2b3c4d
          shell:     zdtm-detached shell results/deleted_x-1a2b3c4d
          again:     zdtm-detached run 'deleted/un'\''linked@ext4' --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
          program:   zdtm-detached show 'deleted/un'\''linked@ext4'

        3 causes of 3 failures
        1. 1x wrong-path: fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f"
           deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
        2. 1x error: the agent did not report the dump
           own/ns/dump-restore/6.12/debian:trixie
        3. 1x xpass: it passes now, but expectations.toml:2 expects dump-failed
           deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie

        6 trials in 12.3 s
        result: 2 passed, 3 failed, 1 skipped
    "#]].assert_eq(&shown(&events(), 200, false));
}

#[test]
fn colour_changes_nothing_else() {
    for width in [80, 200] {
        let coloured = shown(&events(), width, true);
        assert_eq!(console::strip_ansi_codes(&coloured), shown(&events(), width, false));
    }
    let line = |width| shown(&events(), width, true).replace('\u{1b}', "<ESC>");
    let lines: Vec<String> = line(80).lines().take(15).map(str::to_owned).collect();
    expect![[r#"
        6 trials: flavor ns, lifecycle dump-restore, kernel 6.12, subject debian:trixie
        [1/6] <ESC>[32mpass                 <ESC>[0m attributes/ro@tmpfs  <ESC>[2m0.4 s<ESC>[0m
        [2/6] <ESC>[33mxfail(dump-failed)   <ESC>[0m attributes/nosuid@tmpfs  <ESC>[2m0.4 s<ESC>[0m
        [3/6] <ESC>[1;31mfail(wrong-path)     <ESC>[0m deleted/un'linked@ext4  <ESC>[2m0.4 s<ESC>[0m
        [4/6] <ESC>[33munsupported          <ESC>[0m deleted/all@btrfs  <ESC>[2m0.4 s<ESC>[0m: no btrfs here: mount btrfs on a: ENODEV
        [5/6] <ESC>[1;31mxpass                <ESC>[0m deleted/fixed@xfs  <ESC>[2m0.4 s<ESC>[0m
        [6/6] <ESC>[1;31merror                <ESC>[0m own  <ESC>[2m0.4 s<ESC>[0m

        <ESC>[1mfamily       pass  xfail  fail  xpass  unsupported  error<ESC>[0m
        (own files)  <ESC>[2m   0<ESC>[0m  <ESC>[2m    0<ESC>[0m  <ESC>[2m   0<ESC>[0m  <ESC>[2m    0<ESC>[0m  <ESC>[2m          0<ESC>[0m      1
        attributes      1      1  <ESC>[2m   0<ESC>[0m  <ESC>[2m    0<ESC>[0m  <ESC>[2m          0<ESC>[0m  <ESC>[2m    0<ESC>[0m
        deleted      <ESC>[2m   0<ESC>[0m  <ESC>[2m    0<ESC>[0m     1      1            1  <ESC>[2m    0<ESC>[0m
        total           1      1     1      1            1      1

        <ESC>[1;31mxpass<ESC>[0m  deleted/fixed@xfs/ns/dump-restore/6.12/debian:trixie"#]].assert_eq(&lines.join("\n"));
    let wide = line(200);
    let caret: Vec<&str> = wide.lines().skip_while(|line| !line.contains("expected")).take(3).collect();
    expect![[r#"
        difference:
            expected  <ESC>[32m"/f (deleted)"<ESC>[0m
            got       <ESC>[1;31m"/d/f"<ESC>[0m
                        <ESC>[1m^<ESC>[0m"#]]
    .assert_eq(&format!("difference:\n{}", caret.join("\n")));
}

#[test]
fn a_hostile_log_reaches_the_terminal_as_text() {
    let text = shown(&events(), 80, false);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    assert!(text.contains(r"\u{1b}[2Jbad\u{202e}"));
}

#[test]
fn all_columns_fold_to_80() {
    let kind = FailureKind::Hang;
    let all = [
        Verdict::Pass,
        Verdict::Xfail(kind),
        Verdict::Fail(kind),
        Verdict::Xpass,
        Verdict::ChangedFail(kind),
        Verdict::Flaky { passed: 1, runs: 3 },
        Verdict::Unsupported,
        Verdict::NotRun,
        Verdict::Error,
    ];
    let mut events = vec![Event::RunStarted { trials: all.len(), shared: SharedAxes::default() }];
    for verdict in all {
        let trial = finished("a-family-with-a-long-name/x", Judgement::plain(verdict, "why"));
        events.push(Event::TrialFinished(Box::new(trial)));
    }
    events.push(Event::RunFinished { seconds: 1.0, interrupted: true });
    let text = shown(&events, 80, false);
    let from = text.find("\nfamily").unwrap() + 1;
    let table: Vec<&str> = text[from..].lines().take(3).collect();
    assert!(table.iter().all(|line| line.len() <= 80));
    expect![[r#"
        family         pass  xfail  fail  xpass  changed  flaky  unsupp.  not-run  error
        a-family-w...     1      1     1      1        1      1        1        1      1
        total             1      1     1      1        1      1        1        1      1"#]]
    .assert_eq(&table.join("\n"));
    let end: Vec<&str> = text.lines().rev().take(2).collect();
    expect![[r#"
        result: 2 passed, 5 failed, 2 skipped
        9 trials interrupted after 1.0 s"#]]
    .assert_eq(&end.join("\n"));
}

#[test]
fn many_failures_of_one_cause_are_one() {
    let mut events = vec![Event::RunStarted { trials: 50, shared: SharedAxes::default() }];
    for number in 0..50 {
        let failure = Judgement::plain(Verdict::Fail(FailureKind::Hang), "slow");
        events.push(Event::TrialFinished(Box::new(finished(&format!("a/{number}"), failure))));
    }
    events.push(Event::RunFinished { seconds: 1.0, interrupted: false });
    let text = shown(&events, 80, false);
    assert_eq!(text.matches("  again:").count(), 1, "one cause is described once");
    assert!(text.contains("  same cause: a/1, a/10, a/11, a/12, a/13, and 44 more\n"), "{text}");
    assert!(text.contains("\n1 cause of 50 failures\n1. 50x hang: slow\n"), "{text}");
    assert!(text.ends_with("\nresult: 0 passed, 50 failed, 0 skipped\n"));
}

#[test]
fn who_wants_colours() {
    assert!(colour_wanted(ColourChoice::Auto, false, true));
    assert!(!colour_wanted(ColourChoice::Auto, true, true));
    assert!(!colour_wanted(ColourChoice::Auto, false, false));
    assert!(colour_wanted(ColourChoice::Always, true, false));
    assert!(!colour_wanted(ColourChoice::Never, false, true));
}

#[test]
fn a_bar_does_not_get_into_the_report() {
    let mut out = Vec::new();
    feed(&mut Terminal::new(&mut out, Look { width: 80, colour: false, bar: true, detail: Detail::Lines }), &events());
    assert_eq!(String::from_utf8(out).unwrap(), shown(&events(), 80, false));
}

#[test]
fn a_log_without_news_gets_a_sign_of_life() {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, Look { width: 80, colour: false, bar: false, detail: Detail::Lines });
    let trial = finished("a/slow", Judgement::plain(Verdict::Pass, "")).trial;
    let start = std::time::Instant::now();
    let mut say = |event| terminal.event(&event).unwrap();
    say(Event::RunStarted { trials: 2, shared: SharedAxes::of([&trial]) });
    say(Event::MachineStarted { reset: false });
    say(Event::TrialStarted { trial });
    let second = std::time::Duration::from_secs(1);
    for passed in [1, 29, 31, 32, 59, 62, 63] {
        terminal.tick(start + passed * second).unwrap();
    }
    expect![[r#"
        2 trials: flavor ns, lifecycle dump-restore, kernel 6.12, subject debian:trixie
        ... 0/2 trials, 1 VM busy, 0 resets: a/slow
        ... 0/2 trials, 1 VM busy, 0 resets: a/slow
    "#]]
    .assert_eq(&String::from_utf8(out).unwrap());
}
