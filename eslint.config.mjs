import js from '@eslint/js'
import prettier from 'eslint-config-prettier'
import sortImports from 'eslint-plugin-simple-import-sort'
import tseslint from 'typescript-eslint'

/** Rooms that may open sockets; the others are handed what they need. */
const mayUseSockets = ['clamd', 'plugin', 'monitoring', 'haraka']
const sockets = {
  group: ['node:net', 'node:tls', 'node:http', 'node:dgram'],
  allowTypeImports: true,
  message: 'Sockets are opened in lib/clamd/; the other rooms are handed a connection.',
}

/** The rooms of lib/, from top to bottom: a room imports only from the rows below its own. */
const rows = [
  ['plugin'],
  ['monitoring'],
  ['config'],
  ['actions'],
  ['health', 'haraka'],
  ['scan'],
  ['hosts', 'policy'],
  ['attachments'],
  ['mime', 'clamd'],
  ['base'],
]

const roomRules = rows.flatMap((row, at) =>
  row.map((room) => {
    const above = rows.slice(0, at + 1).flat()
    const others = ['cli', ...above.filter((other) => other !== room)].join('|')
    return {
      files: [`lib/${room}/**/*.ts`],
      rules: {
        'no-restricted-imports': [
          'error',
          {
            patterns: [
              {
                regex: `^(?:\\.\\./)+(?:(?:${others})/|index$|bin/|test/|bench/)`,
                message: 'Imports point down the list of rooms in docs/internals/architecture.md.',
              },
              ...(mayUseSockets.includes(room) ? [] : [sockets]),
            ],
          },
        ],
      },
    }
  }),
)

export default tseslint.config(
  { ignores: ['dist', 'node_modules', '.lab'] },
  js.configs.recommended,
  {
    plugins: { 'simple-import-sort': sortImports },
    rules: { 'simple-import-sort/imports': ['error', { groups: [['^\\u0000', '^node:', '^[^.]', '^\\.']] }] },
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // node:test returns promises that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
    },
  },
  {
    // The example's own tsconfig looks for the package where a site has it installed.
    files: ['examples/**/*.ts'],
    languageOptions: { parserOptions: { projectService: false, project: './tsconfig.json' } },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
  {
    // What the page runs in a browser; tsconfig.page.json checks it against the browser's types.
    files: ['lib/monitoring/dashboard/page/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          ...['addEventListener', 'document', 'getComputedStyle', 'getSelection', 'history', 'location'],
          ...['matchMedia', 'navigator', 'fetch', 'setTimeout', 'Blob', 'URL', 'URLSearchParams'],
          ...['EventSource', 'HTMLElement', 'HTMLInputElement', 'HTMLSelectElement', 'ResizeObserver'],
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  ...roomRules,
  prettier,
)
