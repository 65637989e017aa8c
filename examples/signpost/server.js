import { app } from "./src/app.js";

const notices = [
  "# Bridge closed\n\nThe bridge at mile 4 is **closed** until May.",
  "# Water\n\nThe spring at the hut is dry.",
];
app(notices).listen(4100, () => console.log("Signpost listens at http://localhost:4100"));
