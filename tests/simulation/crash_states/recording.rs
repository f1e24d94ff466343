//! What a process did to its disk, in order, as the system calls say it: strace writes them down with every octet.
//!
//! The product holds no switch for this and knows nothing of it; what is recorded is what the kernel was asked, SQLite's
//! own files, the payload files and the mark alike. A call that could change a file and is not understood here fails the
//! test. Not seen are writes through shared memory: SQLite maps only its `-shm` file so, and clears that when the first
//! connection opens the database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::life;

/// One thing that was asked of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A directory is made.
    Mkdir(PathBuf),
    /// A file is opened, and made when there is none; all its octets are gone when it is `emptied`.
    Open { path: PathBuf, handle: u64, makes: bool, emptied: bool },
    /// Octets are written.
    Write { handle: u64, at: u64, octets: Arc<[u8]> },
    /// A file is cut or extended.
    Resize { handle: u64, length: u64 },
    /// A file or directory is made durable.
    Sync { handle: u64 },
    /// A sync failed: what should have become durable is read by everybody, taken for written, and may be lost.
    Failed { handle: u64 },
    /// A name is given to what has another.
    Rename { from: PathBuf, to: PathBuf },
    /// A name is taken away.
    Unlink(PathBuf),
    /// So many batches are answered.
    Answered(usize),
}

/// Runs the test `child` of this program under strace; gives what it did beneath `root`, from [`life::BEGINS`] on.
pub(super) fn record(child: &str, root: &Path, variables: &[(&str, &Path)]) -> Vec<Call> {
    let trace = root.with_extension("trace");
    let output = Command::new("strace")
        .args(["-f", "-xx", "-s", "16777216", "-e", TRACED, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", child, "--nocapture"])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("strace is there: `make test-deps` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&trace).expect("strace wrote it");
    std::fs::remove_file(&trace).expect("it is there");
    let mut reader = Reader { root, begun: false, open: BTreeMap::new(), handles: 0, calls: Vec::new() };
    whole_lines(&text).for_each(|line| reader.read(&line));
    assert!(reader.begun, "the child says when it begins");
    reader.calls
}

/// The lines of calls, each once and in the order in which they ended: strace cuts a line in two when another thread says
/// something meanwhile.
fn whole_lines(text: &str) -> impl Iterator<Item = String> {
    let mut halves = BTreeMap::new();
    text.lines().filter_map(move |line| {
        let (thread, call) = line.split_once(' ')?;
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            halves.insert(thread, begun.trim_end());
            return None;
        }
        match call.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>")) {
            Some((_, rest)) => Some(format!("{}{rest}", halves.remove(thread)?)),
            None => Some(call.to_owned()),
        }
    })
}

struct Reader<'a> {
    root: &'a Path,
    begun: bool,
    open: BTreeMap<u64, OpenFile>,
    handles: u64,
    calls: Vec<Call>,
}

struct OpenFile {
    /// Its number in the recording: numbers of the system are used again.
    handle: u64,
    place: u64,
}

impl Reader<'_> {
    fn read(&mut self, line: &str) {
        if line.starts_with(&format!("+++ exited with {} ", life::DIED)) {
            // Numbers of files are those of a process.
            self.open.clear();
        }
        let Some((name, rest)) = line.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().strip_suffix(')').expect("what was asked stands in brackets");
        let word = result.split(' ').next().unwrap_or_default();
        let Ok(result) = word.parse::<u64>() else { return };
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let number = |place: usize| arguments[place].parse::<u64>().expect("a number");
        match name {
            "write" if number(0) == 1 => self.hear(&octets(arguments[1])),
            "openat" => self.opened(result, self.path(arguments[0], arguments[1]), arguments[2]),
            "mkdir" => self.change(self.path("AT_FDCWD", arguments[0]).map(Call::Mkdir)),
            "unlink" => self.change(self.path("AT_FDCWD", arguments[0]).map(Call::Unlink)),
            "rename" => {
                let [from, to] = [0, 1].map(|place| self.path("AT_FDCWD", arguments[place]));
                self.change(from.zip(to).map(|(from, to)| Call::Rename { from, to }));
            }
            "close" => drop(self.open.remove(&number(0))),
            "lseek" => {
                if let Some(open) = self.open.get_mut(&number(0)) {
                    open.place = result;
                }
            }
            "write" | "pwrite64" => {
                let Some(open) = self.open.get_mut(&number(0)) else { return };
                let written = octets(arguments[1]);
                assert_eq!(written.len() as u64, result, "all of it is written");
                let at = if name == "write" { open.place } else { number(3) };
                if name == "write" {
                    open.place += result;
                }
                let handle = open.handle;
                self.change(Some(Call::Write { handle, at, octets: written.into() }));
            }
            "ftruncate" => {
                let resized = |open: &OpenFile| Call::Resize { handle: open.handle, length: number(1) };
                let call = self.open.get(&number(0)).map(resized);
                self.change(call);
            }
            "fsync" | "fdatasync" => {
                let call = self.open.get(&number(0)).map(|open| Call::Sync { handle: open.handle });
                self.change(call);
            }
            _ => assert!(!self.concerns_us(&arguments), "a call that no model has: {name}({arguments:?})"),
        }
    }

    fn opened(&mut self, number: u64, path: Option<PathBuf>, flags: &str) {
        let Some(path) = path else { return };
        self.handles += 1;
        let handle = self.handles;
        assert!(!flags.contains("O_APPEND") && !flags.contains("SYNC"), "no model has {flags}");
        self.open.insert(number, OpenFile { handle, place: 0 });
        let (makes, emptied) = (flags.contains("O_CREAT"), flags.contains("O_TRUNC"));
        self.change(Some(Call::Open { path, handle, makes, emptied }));
    }

    /// A path beneath the root, relative to it.
    fn path(&self, directory: &str, argument: &str) -> Option<PathBuf> {
        let path = PathBuf::from(String::from_utf8(octets(argument)).expect("a path is text"));
        let within = path.strip_prefix(self.root).ok()?.to_owned();
        assert_eq!(directory, "AT_FDCWD", "no model has directories that are open");
        Some(within)
    }

    fn concerns_us(&self, arguments: &[&str]) -> bool {
        let is_ours = |argument: &&str| {
            let is_path = argument.starts_with('"') && self.path("AT_FDCWD", argument).is_some();
            is_path || argument.parse::<u64>().is_ok_and(|number| self.open.contains_key(&number))
        };
        arguments.iter().any(is_ours)
    }

    fn hear(&mut self, said: &[u8]) {
        let said = String::from_utf8_lossy(said);
        self.begun |= said.contains(life::BEGINS);
        if let Some(number) = said.trim().strip_prefix("answered ") {
            self.calls.push(Call::Answered(number.parse().expect("a number")));
        }
    }

    fn change(&mut self, call: Option<Call>) {
        if let Some(call) = call {
            assert!(self.begun, "nothing is done before the life begins: {call:?}");
            self.calls.push(call);
        }
    }
}

/// The octets of a text that strace wrote as `"\x2f\x74"`.
fn octets(text: &str) -> Vec<u8> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("no text is cut short");
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    inner.as_bytes().chunks_exact(4).map(|it| digit(it[2]) << 4 | digit(it[3])).collect()
}

/// Calls that change a disk, or say on which file others do.
const TRACED: &str = "trace=openat,open,creat,close,dup,dup2,dup3,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,\
    truncate,fallocate,fsync,fdatasync,sync_file_range,msync,sync,syncfs,rename,renameat,renameat2,link,linkat,symlink,\
    symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile,splice";
