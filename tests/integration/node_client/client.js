// Calls fetchd as a Node.js program would, with messages straight from the .proto files. Prints one JSON object.
//
// usage: node client.js COMMAND JSON     JSON has: target, proto, and what the command needs

'use strict';

const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const [command, text] = process.argv.slice(2);
const input = JSON.parse(text);
const loaded = protoLoader.loadSync(
  ['fetchd/v1/fetch_service.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'],
  { includeDirs: [input.proto], keepCase: true, longs: String, enums: String, oneofs: true, defaults: true });
const { FetchService } = grpc.loadPackageDefinition(loaded).fetchd.v1;
const client = new FetchService(input.target, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set('fetchd-caller', 'node');
const deadline = () => ({ deadline: Date.now() + 60000 });

// The google.rpc.Status details of a failed call, by type.
function detailsOf(error) {
  const [packed] = error.metadata.get('grpc-status-details-bin');
  const details = {};
  for (const any of loaded['google.rpc.Status'].deserialize(packed).details) {
    const type = any.type_url.split('/').pop();
    details[type] = loaded[type].deserialize(any.value);
  }
  return details;
}

function failure(error) {
  return { code: grpc.status[error.code], message: error.details, details: detailsOf(error) };
}

function all(call) {
  return new Promise((resolve, reject) => {
    const messages = [];
    call.on('data', (message) => messages.push(message));
    call.on('error', reject);
    call.on('end', () => resolve(messages));
  });
}

const commands = {
  fetch: () => new Promise((resolve) => {
    client.Fetch(input.request, metadata, deadline(), (error, reply) => {
      if (error) return resolve(failure(error));
      const { response } = reply;
      if (response) {
        response.body = response.body.toString();
        response.headers = response.headers.map(({ name, value }) => [name, value.toString()]);
      }
      return resolve(reply);
    });
  }),

  batch: async () => {
    const messages = await all(client.FetchBatch(input.request, metadata, deadline()));
    return messages.flatMap(({ results }) => results).map(({ index, fetch }) => ({
      index, outcome: fetch.response ? fetch.response.status : fetch.error.code,
    }));
  },

  // Uploads `chunks` pieces of `size` bytes and reads what comes back.
  stream: async () => {
    const call = client.FetchStream(metadata, deadline());
    call.write({ start: { request: input.request, streams_body: input.chunks > 0 } });
    for (let i = 0; i < input.chunks; i += 1) {
      if (!call.write({ chunk: Buffer.alloc(input.size, 'n') })) {
        await new Promise((resolve) => { call.once('drain', resolve); });
      }
    }
    call.end();
    const messages = await all(call);
    const bytes = messages.reduce((sum, { chunk }) => sum + (chunk ? chunk.length : 0), 0);
    return { kinds: [...new Set(messages.map(({ message }) => message))], bytes,
      head: messages[0].head, tail: messages[messages.length - 1].tail };
  },

  paged: async () => {
    const messages = await all(client.FetchPaged(input.request, metadata, deadline()));
    const items = messages.flatMap((message) => (message.items ? message.items.items : []));
    return { items: items.map(String), end: messages[messages.length - 1].end };
  },

  // Cancels after the first piece.
  cancel: () => new Promise((resolve) => {
    const call = client.FetchStream(metadata, deadline());
    call.write({ start: { request: input.request } });
    call.on('data', () => call.cancel());
    call.on('error', (error) => resolve({ code: grpc.status[error.code] }));
  }),
};

commands[command]().then(
  (result) => {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    client.close();
  },
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  });
