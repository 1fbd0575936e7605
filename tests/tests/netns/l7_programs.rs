//! Programs of others that speak HTTP/2, gRPC and WebSocket, through a waypoint.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::config::PodSpec;

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage::{Stage, USE, service};
use crate::party::ENROLLED;

pub(crate) const TESTS: &[Test] = &[
    test("nghttp_speaks_http2_through_a_waypoint", nghttp),
    test(
        "grpc_of_its_own_library_streams_both_ways_through_a_waypoint",
        grpc,
    ),
    test(
        "websockets_of_their_own_library_outlive_a_change_of_routes",
        websockets,
    ),
];

fn nghttp(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let urls: Vec<_> = (0..20).map(|n| format!("http://10.96.3.1/nghttp/{n}")).collect();
    let arguments: Vec<_> = urls.iter().map(String::as_str).collect();
    let said = stage.client.run("nghttp", &arguments)?;
    let answers = said
        .out
        .lines()
        .filter(|l| l.contains(" answers GET /nghttp/"))
        .count();
    ensure!(said.ok && answers == urls.len(), "{answers}: {said:?}");
    Ok(())
}

/// Server and client of the C library, by its Python binding: one message each way, and many.
fn grpc(lab: &mut Lab) -> Result<()> {
    program(lab, GRPC_SERVER, GRPC_CLIENT, "grpc")
}

fn websockets(lab: &mut Lab) -> Result<()> {
    program(lab, WEBSOCKET_SERVER, WEBSOCKET_CLIENT, "http")
}

/// Runs a server behind the waypoint and a client before it; both are Python. Routes change while they talk.
fn program(lab: &mut Lab, server: &str, client: &str, speaks: &str) -> Result<()> {
    let stage = Stage::set(lab)?;
    let dir = lab.dir().join("python");
    fs::create_dir_all(&dir)?;
    let write = |name: &str, text: &str| -> Result<String> {
        let path = dir.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let (server, client) = (write("server.py", server)?, write("client.py", client)?);
    let pod = lab.start_pod(&PodSpec::new(ENROLLED, "python", 1))?;
    let mut serving = pod.spawn("python", PYTHON, &["-u", &server])?;
    let log = serving.log_path().to_owned();
    serving.wait_until("its port", LIMIT, || {
        fs::read_to_string(&log).ok().filter(|l| l.contains("serving"))
    })?;
    service(lab, "python", "10.96.3.20", "app: python", USE)?;
    let port = if speaks == "grpc" { "9090" } else { "80" };
    let known = |dump: &serde_json::Value| {
        let mut services = dump["services"].as_array().into_iter().flatten();
        services.any(|s| s["name"] == "python" && !s["waypoint"].is_null())
    };
    lab.nodes()[0].wait_for_config("the service", known)?;
    stage.waypoint.replicas[0].wait_for_config("the service", known)?;
    let mut talking = stage
        .client
        .spawn("python", PYTHON, &["-u", &client, "10.96.3.20", port])?;
    let log = talking.log_path().to_owned();
    talking.wait_until("the first exchange", LIMIT, || {
        fs::read_to_string(&log).ok().filter(|l| l.contains("open"))
    })?;
    for n in 0..20 {
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: python, namespace: {ENROLLED}}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: python}}]\n  rules: [{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-n, value: '{n}'}}]}}}}], backendRefs: [{{name: python, port: {port}}}]}}]\n"
        );
        lab.config().write("route-python.yaml", &route)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = lab::wait::until("the client's end", LIMIT, || talking.ended())
        .with_context(|| talking.log_tail())?;
    ensure!(
        status.success() && talking.log().contains("done"),
        "{}",
        talking.log()
    );
    Ok(())
}

/// The one that Debian's packages are for.
const PYTHON: &str = "/usr/bin/python3";
const GRPC_SERVER: &str = r#"
import grpc
from concurrent import futures
class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method.endswith("/One"):
            return grpc.unary_unary_rpc_method_handler(lambda message, context: b"echo " + message)
        if call.method.endswith("/Up"):
            return grpc.stream_unary_rpc_method_handler(lambda messages, context: b",".join(messages))
        if call.method.endswith("/Down"):
            return grpc.unary_stream_rpc_method_handler(lambda message, context: (bytes([b]) for b in message))
        if call.method.endswith("/Both"):
            return grpc.stream_stream_rpc_method_handler(lambda messages, context: (b"echo " + m for m in messages))
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Echo()])
server.add_insecure_port("[::]:8080")
server.start()
print("serving")
server.wait_for_termination()
"#;
const GRPC_CLIENT: &str = r#"
import grpc, sys, time
channel = grpc.insecure_channel(f"{sys.argv[1]}:{sys.argv[2]}")
limit = dict(timeout=10)
assert channel.unary_unary("/lab.Echo/One")(b"hello", **limit) == b"echo hello"
assert channel.stream_unary("/lab.Echo/Up")(iter([b"a", b"b", b"c"]), **limit) == b"a,b,c"
assert list(channel.unary_stream("/lab.Echo/Down")(b"abc", **limit)) == [b"a", b"b", b"c"]
def messages():
    for n in range(20):
        yield f"{n}".encode()
        time.sleep(0.05)
answers = []
for answer in channel.stream_stream("/lab.Echo/Both")(messages(), **limit):
    answers.append(answer)
    print("open")
assert answers == [f"echo {n}".encode() for n in range(20)], answers
try:
    channel.unary_unary("/lab.Echo/Missing")(b"", **limit)
    raise SystemExit("a method that does not exist was answered")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
print("done")
"#;
const WEBSOCKET_SERVER: &str = r#"
import asyncio, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, None, 8080):
        print("serving")
        await asyncio.Future()
asyncio.run(main())
"#;
const WEBSOCKET_CLIENT: &str = r#"
import asyncio, sys, websockets
async def main():
    async with websockets.connect(f"ws://{sys.argv[1]}:{sys.argv[2]}/chat") as socket:
        for n in range(30):
            message = f"{n}" * (1 + n * 400)
            await socket.send(message)
            assert await socket.recv() == message
            print("open")
            await asyncio.sleep(0.03)
        await socket.ping()
    print("done")
asyncio.run(main())
"#;
