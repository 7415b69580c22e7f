//! Lines of the matrix that harm what the process stands on: disk, clock, memory, formats.
use crate::lines::{injected, load, until, while_it_runs};
use crate::world::World;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A small disk, unmounted when dropped. Needs root, or a user namespace that may mount.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path, size: &str) -> Disk {
        std::fs::create_dir_all(path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tallyflow", path.to_str().unwrap()]);
        Disk(path.to_owned())
    }

    fn again(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), self.0.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A world of which all data stand on a small disk.
fn on_a_disk(world: &mut World, round: u64) -> (Disk, PathBuf) {
    let before = world.data();
    let disk = Disk::mount(&world.folder().join(format!("disk-{round}")), "24m");
    let data = disk.0.join("data");
    if before.exists() {
        run("cp", &["-a", before.to_str().unwrap(), data.to_str().unwrap()]);
    }
    world.data = data;
    (disk, before)
}

/// Back to the disk that was there before, with what came since.
fn back(world: &mut World, disk: Disk, before: PathBuf) {
    if before.exists() {
        std::fs::remove_dir_all(&before).unwrap();
    }
    run("cp", &["-a", world.data().to_str().unwrap(), before.to_str().unwrap()]);
    world.data = before;
    drop(disk);
}

pub fn disk_full(world: &mut World, round: u64) {
    let (disk, before) = on_a_disk(world, round);
    while_it_runs(world, |world, life| {
        for _ in 0..2 {
            let filler = disk.0.join("filler");
            // It ends where the disk does.
            _ = std::fs::File::create(&filler)
                .map(|mut out| std::io::copy(&mut std::io::repeat(0), &mut out));
            injected(world, "disk full");
            load(world, life, 3);
            until("503", life, |life| {
                life.ask("GET", "/readyz", "text/plain", "").is_some_and(|(status, _)| status == 503)
            });
            let (status, _) = life.ask("GET", "/api/v1/views/totals", "text/plain", "").unwrap();
            assert_eq!(status, 200, "views stay readable");
            std::fs::remove_file(&filler).unwrap();
            load(world, life, 2);
            world.catch_up(life);
        }
    });
    back(world, disk, before);
}

/// A start on a disk that may not be written says so and harms nothing.
pub fn read_only(world: &mut World, round: u64) {
    let (disk, before) = on_a_disk(world, round);
    while_it_runs(world, |_, _| ());
    disk.again("ro");
    injected(world, "read-only file system");
    let mut life = world.start("");
    until("the end", &mut life, |life| !life.runs());
    let said = life.said();
    assert!(said.contains("Read-only file system") && said.contains("data"), "{said}");
    disk.again("rw");
    while_it_runs(world, |_, _| ());
    back(world, disk, before);
}

/// The newest snapshot is damaged in one way after the other; the process says so, and takes an older one or the log.
pub fn snapshots(world: &mut World, round: u64) {
    for (at, damage) in
        ["flip", "cut", "remove", "manifest flip", "manifest cut", "manifest remove"].iter().enumerate()
    {
        let mut life = world.start("");
        load(world, &mut life, 2);
        world.catch_up(&mut life);
        let folder = harness::data::snapshots_path(&world.data());
        let newest = |kind: &str| {
            let mut names: Vec<_> = std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path())
                .filter(|path| {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    name.starts_with(kind) && !name.ends_with(".rejected") && !name.ends_with(".new")
                })
                .collect();
            names.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
            names.pop()
        };
        // A start passes over snapshots of times that a store has not reached: one that it looks at is damaged, and all after it.
        let manifests = || harness::snapshot::manifest::list(&folder).unwrap();
        let mut reached = 0;
        until("a snapshot that each store has reached", &mut life, |life| {
            let times = life.sinks();
            let times =
                ["pg", "redis", "kafka"].map(|name| times.get(name).and_then(|one| one["time"].as_u64()));
            reached = times.into_iter().min().flatten().unwrap_or(0);
            manifests().iter().any(|(time, _)| *time <= reached)
        });
        drop(life);
        let damaged = match damage.starts_with("manifest") {
            true => {
                let all = manifests();
                let later = all.iter().take_while(|(time, _)| *time > reached).count();
                all.into_iter().take(later + 1).map(|(_, path)| path).collect()
            }
            false => vec![newest("part-").unwrap()],
        };
        for path in &damaged {
            match damage.rsplit(' ').next().unwrap() {
                "remove" => std::fs::remove_file(path).unwrap(),
                "cut" => {
                    let file = std::fs::File::options().write(true).open(path).unwrap();
                    file.set_len(file.metadata().unwrap().len() * (1 + round % 3) / 4).unwrap();
                }
                _ => {
                    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
                    let place = file.metadata().unwrap().len() * (1 + 2 * (round % 3)) / 7;
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, place).unwrap();
                    file.write_all_at(&[byte[0] ^ (1 << ((round + at as u64 % 8) % 8))], place).unwrap();
                }
            }
        }
        injected(world, damage);
        let mut life = world.start("");
        load(world, &mut life, 1);
        world.catch_up(&mut life);
        // A part that no manifest names any more need not be looked at, and what is gone leaves the one before.
        if damage.starts_with("manifest") && !damage.ends_with("remove") {
            assert!(life.said().contains("a snapshot was put aside"), "{damage}: {}", life.said());
        }
    }
}

/// Its clock is another one: `CLOCK` holds the seconds by which it is off, and can be changed while it runs. As when the system's clock
/// is set, waits until a time of day, which are librdkafka's, end by the new clock.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>
#include <sys/time.h>
#include <stdlib.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
static volatile long long *off;
__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *at = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) off = at;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, id, now);
    if (done == 0 && off && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *off;
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec at;
    int done = clock_gettime(CLOCK_REALTIME, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return done;
}
time_t time(time_t *now) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (now) *now = at.tv_sec;
    return at.tv_sec;
}
int timespec_get(struct timespec *now, int base) {
    return clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}
/* How long a wait goes on, at most 20 ms, and until when by the kernel's clock. */
static long long piece(const struct timespec *until, struct timespec *end) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    long long left = (until->tv_sec - (off ? *off : 0) - now.tv_sec) * 1000000000LL + until->tv_nsec - now.tv_nsec;
    long long take = left < 0 ? 0 : left < 20000000 ? left : 20000000;
    end->tv_sec = now.tv_sec + (now.tv_nsec + take) / 1000000000;
    end->tv_nsec = (now.tv_nsec + take) % 1000000000;
    return left - take;
}
int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    for (;;) {
        struct timespec end;
        long long more = piece(until, &end);
        int done = real(cond, mutex, &end);
        if (done != ETIMEDOUT || more <= 0) return done;
    }
}
int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "cnd_timedwait");
    for (;;) {
        struct timespec end;
        long long more = piece(until, &end);
        int done = real(cond, mutex, &end);
        if (done != thrd_timedout || more <= 0) return done;
    }
}
"#;

pub fn clock(world: &mut World, round: u64) {
    let folder = world.folder().to_owned();
    let (source, library, off) = (folder.join("clock.c"), folder.join("clock.so"), folder.join("clock"));
    std::fs::write(&source, CLOCK).unwrap();
    std::fs::write(&off, 0_i64.to_ne_bytes()).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    run("cc", &["-shared", "-fPIC", "-O1", "-o", &text(&library), &text(&source), "-ldl"]);
    world.variables.insert("LD_PRELOAD".into(), text(&library));
    world.variables.insert("CLOCK".into(), text(&off));
    let set = |seconds: i64| {
        let file = std::fs::File::options().write(true).open(&off).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    };
    const HOUR: i64 = 3_600;
    let jumps = [[HOUR, 0, -HOUR], [-HOUR, HOUR, 0], [-240 * HOUR, 0, HOUR]][round as usize % 3];
    while_it_runs(world, |world, life| {
        for jump in jumps {
            set(jump);
            injected(world, &format!("clock {jump} s off"));
            load(world, life, 3);
            world.catch_up(life);
        }
    });
    // It starts with a clock that is behind what it has bound.
    set(-HOUR);
    injected(world, "start with a clock behind");
    while_it_runs(world, |_, _| ());
    world.variables.clear();
}

/// 64 files with 200 clients, 256 MiB of data in memory, a fifth of a processor.
pub fn scarce(world: &mut World, round: u64) {
    match round % 3 {
        0 => {
            world.before = Some("ulimit -n 64".into());
            while_it_runs(world, |world, life| {
                let address: std::net::SocketAddr = life.address.clone().unwrap().parse().unwrap();
                // Who finds no place in the queue would wait for minutes.
                let client =
                    || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
                let clients: Vec<_> = (0..200).filter_map(|_| client()).collect();
                injected(world, "no file left");
                std::thread::sleep(Duration::from_secs(2));
                assert!(life.runs(), "{}", life.said());
                drop(clients);
                load(world, life, 2);
            });
        }
        1 => {
            world.before = Some("ulimit -d 262144".into());
            let mut life = world.start("");
            injected(world, "256 MiB of memory");
            for _ in 0..20 {
                if !life.runs() {
                    break;
                }
                load(world, &mut life, 1);
            }
            // Whether it could live with so little or not: nothing that it acknowledged is lost.
            println!("with 256 MiB it {}", if life.runs() { "runs" } else { "ends" });
        }
        _ => {
            while_it_runs(world, |world, life| {
                let pid = life.child.id();
                let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
                let stopped = stop.clone();
                let slow = std::thread::spawn(move || {
                    while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                        for (signal, wait) in [(19, 80), (18, 20)] {
                            run("kill", &[&format!("-{signal}"), &pid.to_string()]);
                            std::thread::sleep(Duration::from_millis(wait));
                        }
                    }
                });
                injected(world, "a fifth of a processor");
                load(world, life, 5);
                world.catch_up(life);
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                slow.join().unwrap();
            });
        }
    }
    world.before = None;
    world.settle();
}

/// From one program to the next and back: each refuses what it does not know, in words, and leaves it as it is.
pub fn upgrade(world: &mut World, _round: u64) {
    while_it_runs(world, |_, _| ());
    // The next program's data: what this one must not touch.
    let data = world.data();
    for (file, from, to) in
        [("meta.json", "\"format\":1", "\"format\":2"), ("log/log.json", "\"version\":1", "\"version\":2")]
    {
        let path = data.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        let squeezed = before.replace(": ", ":");
        assert!(squeezed.contains(from), "{file}: {before}");
        std::fs::write(&path, squeezed.replace(from, to)).unwrap();
        injected(world, "data of a later format");
        let mut life = world.start("");
        until("a refusal", &mut life, |life| !life.runs());
        let said = life.said();
        assert!(
            said.contains('2') && (said.contains("format") || said.contains("version")),
            "{file}: {said}"
        );
        std::fs::write(&path, before).unwrap();
    }
    // A snapshot of a later format is put aside, and an older one or the log is used.
    while_it_runs(world, |_, _| ());
    let folder = harness::data::snapshots_path(&data);
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (body, _) = text.split_once('\n').unwrap();
            let later = body.replace("\"format\":1", "\"format\":2");
            let sum = xxhash_rust::xxh3::xxh3_64(later.as_bytes());
            std::fs::write(&path, format!("{later}\n{sum:016x}\n")).unwrap();
        }
    }
    injected(world, "snapshots of a later format");
    let mut life = world.start("");
    load(world, &mut life, 1);
    world.catch_up(&mut life);
    assert!(life.said().contains("it has format Some(2)"), "{}", life.said());
}
