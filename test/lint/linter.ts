/** Lints text as if it stood in a file of the house, with the project's own configuration. */
import path from 'node:path';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const root = path.resolve(import.meta.dirname, '../..');

/** Every path that tests with types plant text at; the files do not exist. */
const TYPED_PATHS = ['bin', 'scenarios', 'markers', 'services', 'kernel-model', 'sim', 'test'].map(
  (layer) => `${layer}/planted.ts`,
);

/** Rules about syntax and scopes alone: no program is built, a case costs milliseconds. */
const withoutTypes = new ESLint({
  cwd: root,
  overrideConfig: [
    {
      ...tseslint.configs.disableTypeChecked,
      languageOptions: { parserOptions: { projectService: false } },
    },
    { rules: { 'house/no-module-state': 'off', '@typescript-eslint/consistent-type-exports': 'off' } },
  ],
});

/** The configuration as it is; planted files get a place in the default project. */
const withTypes = new ESLint({
  cwd: root,
  overrideConfig: {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: TYPED_PATHS } } },
  },
});

async function lint(engine: ESLint, file: string, text: string): Promise<readonly string[]> {
  const [result] = await engine.lintText(text, { filePath: path.join(root, file) });
  const messages = result?.messages ?? [];
  const fatal = messages.find((message) => message.fatal);
  if (fatal !== undefined) throw new Error(`${file}: ${fatal.message}`);
  return messages.map((message) => message.ruleId ?? message.message);
}

/** Names of the rules that `text` breaks as `file` (path from the root), type-checked rules aside. */
export function rulesBroken(file: string, text: string): Promise<readonly string[]> {
  return lint(withoutTypes, file, text);
}

/** The same with type information; `file` must be `<layer>/planted.ts`. */
export function typedRulesBroken(file: string, text: string): Promise<readonly string[]> {
  return lint(withTypes, file, text);
}
