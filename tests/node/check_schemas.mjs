// Judge JSON values by our schemas with a validator that is not ours (ajv, JSON Schema 2020-12).
// stdin: {"schemas": […], "cases": [{"schema": $id, "value": …}]}; stdout: JSON list of booleans.
import { readFileSync } from "node:fs";

import Ajv from "ajv/dist/2020.js";

const { schemas, cases } = JSON.parse(readFileSync(0, "utf8"));
const ajv = new Ajv({ strict: true, validateSchema: true });
ajv.addFormat("date-time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
for (const schema of schemas) ajv.addSchema(schema);
const verdicts = cases.map(({ schema, value }) => ajv.getSchema(schema)(value));
process.stdout.write(JSON.stringify(verdicts));
