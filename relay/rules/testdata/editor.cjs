// Prints, as JSON, what the YAML language server that editors use says of files.
// node editor.cjs DIRECTORY_OF_PACKAGES SCHEMA FILE...
const fs = require('fs');
const { createRequire } = require('module');

const [dir, schema, ...files] = process.argv.slice(2);
const load = createRequire(dir + '/');
const { getLanguageService } = load('yaml-language-server');
const { TextDocument } = load('vscode-languageserver-textdocument');

async function main() {
  const service = getLanguageService({
    schemaRequestService: (uri) => Promise.reject(new Error('not the schema that was given: ' + uri)),
    workspaceContext: { resolveRelativePath: (path) => path },
    telemetry: { send() {}, sendError() {}, sendTrack() {} },
  });
  service.configure({
    validate: true,
    customTags: [],
    schemas: [{ uri: 'file:///rules.schema.json', fileMatch: ['*'], schema: JSON.parse(fs.readFileSync(schema, 'utf8')) }],
  });
  const said = {};
  for (const file of files) {
    const text = fs.readFileSync(file, 'utf8').replace('# yaml-language-server:', '#');
    const found = await service.doValidation(TextDocument.create('file:///' + file, 'yaml', 1, text), false);
    said[file] = found.map((d) => `${d.range.start.line + 1}:${d.range.start.character + 1}: ${d.message}`);
  }
  console.log(JSON.stringify(said));
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
