//! A board that many draw on: each client sends its strokes in batches, one handler call a batch, and all hear of them
//! in batches, encoded once. Whoever comes later gets the picture in batches of its own.
//!
//! `cargo run --example batching`, then connect to `ws://127.0.0.1:8787/any-board` and send
//! `["batch/1",{"from":[0,0],"to":[9,9]},{"from":[9,9],"to":[9,0]}]`. `docs/batching.md` has the format and a client.

use std::collections::VecDeque;
use std::process::ExitCode;

use dormouse::{
    Batch, Batching, Context, DurableObject, Engine, Env, Request, Response, Result, WebSocket,
    WebSocketPair, Worker,
};
use serde::{Deserialize, Serialize};

/// Older ones fade.
const STROKES_MAX: usize = 10_000;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Stroke {
    from: [i16; 2],
    to: [i16; 2],
}

struct Board {
    ctx: Context,
    strokes: VecDeque<Stroke>,
}

impl DurableObject for Board {
    // 20 batches a second are enough for the eye; 100 strokes are worth a packet.
    const BATCHING: Option<Batching> = Some(Batching::json().delay_ms(50).messages(100));

    async fn new(ctx: Context, _env: Env) -> Result<Board> {
        Ok(Board { ctx, strokes: VecDeque::new() })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        // Who is here already is told what it has not heard yet; the newcomer gets that with the picture.
        self.ctx.batch(None).flush();
        self.ctx.accept_web_socket(&server, &[])?;
        let picture = server.batch();
        for stroke in &self.strokes {
            picture.push(stroke)?;
        }
        picture.flush();
        Ok(Response::web_socket(client))
    }

    async fn web_socket_batch(&mut self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        let everybody = self.ctx.batch(None);
        for item in batch {
            // What a client sends wrong costs that client its connection, and nobody else anything.
            let Ok(stroke) = item.read::<Stroke>() else {
                ws.close(1007, "send strokes")?;
                break;
            };
            if self.strokes.len() == STROKES_MAX {
                self.strokes.pop_front();
            }
            self.strokes.push_back(stroke);
            everybody.push(&stroke)?;
        }
        Ok(())
    }
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("BOARD")?.get_by_name(request.path()).fetch(request).await
    }
}

fn main() -> ExitCode {
    Engine::new(Router).namespace::<Board>("BOARD").main()
}
