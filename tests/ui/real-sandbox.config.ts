import base from './playwright.config';

// One journey with a real machine. It is in the tier `real-vm`, for it needs the image and the template.
export default { ...base, testMatch: '**/real-sandbox.journey.ts', timeout: 600_000 };
