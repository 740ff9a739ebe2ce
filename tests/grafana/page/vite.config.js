import { defineConfig } from 'vite';

export default defineConfig({
  // As in Grafana, the icons of @grafana/ui are at /public/build/img.
  base: '/public/build/',
  publicDir: 'node_modules/@grafana/ui/dist/public',
  build: {
    minify: false,
    modulePreload: false,
    chunkSizeWarningLimit: Infinity,
    // @grafana/plugin-compat imports functions that this version of @grafana/runtime does not have, and checks for that.
    rolldownOptions: { shimMissingExports: true, checks: { pluginTimings: false } },
  },
});
