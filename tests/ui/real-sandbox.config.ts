import base from './playwright.config';

// The journeys with a real machine. They are in the tier `real-vm`, for they need the image and the template.
export default { ...base, testMatch: '**/*.journey.ts', timeout: 600_000 };
