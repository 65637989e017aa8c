import js from "@eslint/js";

const globals = { console: "readonly", fetch: "readonly" };
export default [js.configs.recommended, { languageOptions: { globals } }];
