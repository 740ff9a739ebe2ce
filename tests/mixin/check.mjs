// Prints what Prometheus' web interface finds wrong with expressions. Input and output are lists in JSON.

import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const { EditorState } = require('@codemirror/state');
const { ensureSyntaxTree } = require('@codemirror/language');
const { LanguageType, promQLLanguage } = require('@prometheus-io/codemirror-promql');
const { Parser } = require('@prometheus-io/codemirror-promql/dist/cjs/parser');

let input = '';
for await (const chunk of process.stdin) {
  input += chunk;
}
const faults = JSON.parse(input).flatMap((doc) => {
  const state = EditorState.create({ doc, extensions: promQLLanguage(LanguageType.PromQL) });
  // A new state has only what was parsed within 20 ms. The state after the update has everything.
  ensureSyntaxTree(state, doc.length, 60_000);
  const parser = new Parser(state.update({}).state);
  parser.analyze();
  return parser.getDiagnostics().map(({ message, from, to }) => `${message}: ${doc.slice(from, to)}`);
});
console.log(JSON.stringify(faults));
