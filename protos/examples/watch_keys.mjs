// Keeps a copy of the keys under a prefix up to date over the public gRPC API, and prints every change.
//
//     npm install @grpc/grpc-js @grpc/proto-loader
//     node watch_keys.mjs 127.0.0.1:8502 app/ path/to/protos
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const [target, prefix, protos] = process.argv.slice(2);
const definition = protoLoader.loadSync('lictor/v1/kv.proto', {
  includeDirs: [protos],
  keepCase: true,
  longs: String,
  defaults: true,
});
const { KV } = grpc.loadPackageDefinition(definition).lictor.v1;
const client = new KV(target, grpc.credentials.createInsecure());
const token = new grpc.Metadata();
token.set('x-consul-token', process.env.CONSUL_HTTP_TOKEN ?? '');

const copy = new Map();
let index = '0';

function watch() {
  const stream = client.Watch({ prefix, options: { resume_index: index } }, token);
  stream.on('data', (change) => {
    if (change.reset) copy.clear();
    for (const entry of change.upserts) copy.set(entry.key, entry.value.toString());
    for (const key of change.deletes) copy.delete(key);
    index = change.index;
    console.log(JSON.stringify({ index, reset: change.reset, keys: Object.fromEntries(copy) }));
  });
  stream.on('error', (error) => {
    if (error.code !== grpc.status.UNAVAILABLE) throw error;
    setTimeout(watch, 1000);
  });
}

watch();
