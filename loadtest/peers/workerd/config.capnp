# workerd serve config.capnp --socket-addr=http=127.0.0.1:PORT
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "main", worker = .worker) ],
  # The address is given on the command line.
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "main") ]
);

const worker :Workerd.Worker = (
  modules = [ (name = "worker", esModule = embed "worker.js") ],
  compatibilityDate = "2026-01-01",
  durableObjectNamespaces = [
    (className = "Room", uniqueKey = "room"),
    (className = "Echo", uniqueKey = "echo")
  ],
  # Nothing is stored.
  durableObjectStorage = (inMemory = void),
  bindings = [
    (name = "ROOM", durableObjectNamespace = "Room"),
    (name = "ECHO", durableObjectNamespace = "Echo")
  ]
);
