//! smoke
use pierhead::{config::Config, dialect::*, edge::Edge, routes::*};
use std::sync::Arc;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    tracing_subscriber::fmt().with_env_filter(std::env::var("LOG").unwrap_or("warn".into())).init();
    let up: std::net::SocketAddr = std::env::args().nth(1).unwrap().parse().unwrap();
    let text = std::env::args().nth(2).map(|p| std::fs::read_to_string(p).unwrap()).unwrap_or_default();
    let config = Config::parse(&text, std::path::Path::new("x")).unwrap();
    let table = Arc::new(Table::new());
    table.publish([Change::Set(Route {
        protocol: Protocol::Postgres,
        name: Name::parse("blog").unwrap(),
        state: RouteState::Ready(Upstream::Tcp(up)),
        container: "c".into(),
        generation: 0,
        connections_max: 0,
        usage: Default::default(),
    })]);
    let edge = Edge::start(&config, &table).unwrap();
    println!("up {:?}", edge.view().addresses());
    loop {
        std::thread::sleep(std::time::Duration::from_secs(5));
        for (c, k) in edge.view().cores() {
            println!("{c} {k:?}")
        }
    }
}
